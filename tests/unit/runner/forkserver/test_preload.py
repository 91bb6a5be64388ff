"""A fork server is forked only where that does no harm."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

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
