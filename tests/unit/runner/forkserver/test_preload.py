"""A fork server is forked only where that does no harm."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.forkserver.programs import printed

from dioptra_worker.runner.forkserver.preload import reason_not_to_fork

if TYPE_CHECKING:
    from pathlib import Path


def _process(folder: Path, *threads: str) -> Path:
    """A process as its system shows it, with more threads than the main one."""
    for number, name in enumerate(("main", *threads)):
        task = folder / "task" / str(os.getpid() + number)
        task.mkdir(parents=True)
        (task / "comm").write_text(f"{name}\n")
    (folder / "fd").mkdir()
    (folder / "fd" / "0").symlink_to("/dev/null")
    return folder


def test_a_process_with_one_thread(tmp_path: Path) -> None:
    """One thread and no GPU: nothing is lost in a fork."""
    assert reason_not_to_fork(threads=[], proc=_process(tmp_path)) is None


def test_a_thread_of_python(tmp_path: Path) -> None:
    """A thread that Python knows is named."""
    threads = [threading.main_thread(), threading.Thread(name="framework")]
    found = reason_not_to_fork(threads=threads, proc=_process(tmp_path))
    assert found == "an import started the thread 'framework'"


@pytest.mark.process
def test_a_thread_of_a_library(tmp_path: Path) -> None:
    """A thread that outlives a trial fork is named, unless it is known to cope."""
    found = reason_not_to_fork(
        threads=[], proc=_process(tmp_path, "jemalloc_bg_thd", "grpc_global_tim")
    )
    assert found == "an import started a library's thread (grpc_global_tim)"


def test_a_thread_that_copes_with_forks(tmp_path: Path) -> None:
    """The allocator that comes with pyarrow knows how to be forked."""
    assert (
        reason_not_to_fork(threads=[], proc=_process(tmp_path, "jemalloc_bg_thd"))
        is None
    )


def test_a_gpu_in_use(tmp_path: Path) -> None:
    """A GPU that is open already cannot be used in a fork."""
    process = _process(tmp_path)
    (process / "fd" / "9").symlink_to("/dev/nvidia0")
    assert (
        reason_not_to_fork(threads=[], proc=process)
        == "an import opened the GPU (/dev/nvidia0)"
    )


def test_a_system_that_shows_nothing(tmp_path: Path) -> None:
    """Without /proc, Python's own threads are all that can be seen."""
    assert reason_not_to_fork(threads=[], proc=tmp_path / "missing") is None


THREAD = """
import threading
threading.Thread(target=threading.Event().wait, name="x", daemon=True).start()
"""
BRINGING = {
    "a thread": (
        THREAD,
        "the import of second started the thread 'x'",
    ),
    "a socket": (
        "import socket\nsock = socket.socket()",
        "the import of second opened what forks would share (socket:[",
    ),
}


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="nothing else shows open files")
@pytest.mark.parametrize("what", BRINGING)
def test_the_module_that_did_it_is_named(what: str, tmp_path: Path) -> None:
    """Of several modules the one after whose import it was first seen is named."""
    source, words = BRINGING[what]
    for name, text in (("first", ""), ("second", source), ("third", "import second")):
        (tmp_path / f"{name}.py").write_text(text)
    program = (
        "import sys; from dioptra_worker.runner.forkserver import preload\n"
        "modules = ['first', 'second', 'third']\n"
        "found = preload.preload(modules, path=[sys.argv[1]])\n"
        "print(preload.reason_not_to_fork(found.brought_by))"
    )
    said = printed(program, tmp_path)
    assert said.startswith(words)


@pytest.mark.process
def test_what_a_module_costs(tmp_path: Path) -> None:
    """Time and memory of each module that was asked for, and that could be had."""
    (tmp_path / "slow.py").write_text("import time; time.sleep(0.1)\n")
    (tmp_path / "large.py").write_text("import slow\nkept = b'x' * (32 << 20)\n")
    program = (
        "import sys; from dioptra_worker.runner.forkserver import preload\n"
        "modules = ['slow', 'large', 'not_there']\n"
        "for each in preload.preload(modules, path=[sys.argv[1]]).costs:\n"
        "    print(each.module, each.seconds, each.memory)"
    )
    said = printed(program, tmp_path)
    slow, large = (line.split() for line in said.splitlines())
    assert (slow[0], large[0]) == ("slow", "large")
    assert float(slow[1]) >= 0.1
    if sys.platform == "linux":
        assert int(large[2]) >= 32 << 20 > int(slow[2])


def test_what_forks_would_share(tmp_path: Path) -> None:
    """A socket that an import opened is named; the fork server's own is expected."""
    process = _process(tmp_path)
    (process / "fd" / "4").symlink_to("socket:[1]")
    (process / "fd" / "7").symlink_to("anon_inode:[eventpoll]")
    assert (
        reason_not_to_fork(threads=[], proc=process, ours={4})
        == "an import opened what forks would share (anon_inode:[eventpoll])"
    )
    assert reason_not_to_fork(threads=[], proc=process, ours={4, 7}) is None
