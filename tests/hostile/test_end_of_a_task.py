"""What a task leaves to be done at its end is done, within a limit.

Attack: exit handlers, threads, files that nobody closes, shared memory that nobody
unlinks, also in a job that is killed; a fork in a handler. Promise: what belongs to the
job happens as at the end of a program, and nothing stays in the system. That none waits
for ever: tests/unit/runner/test_exit_handlers.py.
"""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ran

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux shows it


def test_a_task_ends_as_a_program_does(
    run_task: Callable[[str], Ran], tmp_path: Path
) -> None:
    """Handlers, threads and executors end; buffers are written; a fork is a fork."""
    ran = run_task(f"""
        import atexit, concurrent.futures, gzip, threading, weakref
        FOLDER = {str(tmp_path)!r}
        KEPT = open(FOLDER + "/kept.txt", "w")
        PACKED = gzip.open(FOLDER + "/packed.gz", "wt")
        POOL = concurrent.futures.ThreadPoolExecutor(1)

        class Thing: pass
        THING = Thing()

        def late():
            time.sleep(0.3)
            print("a thread ended")

        def fork():
            if not os.fork():
                raise ValueError("of a child")
            print("a handler ran")
            os.wait()

        @pyplugs.register
        def act():
            KEPT.write("written")
            PACKED.write("packed")
            atexit.register(fork)
            atexit.register(lambda: 1 / 0)
            weakref.finalize(THING, print, "a finalizer ran")
            threading.Thread(target=late).start()
            POOL.submit(late)
        """)
    assert ran.status == "finished"
    for said in ("a handler ran", "a finalizer ran", "ZeroDivisionError"):
        assert ran.text.count(said), said
    assert ran.text.count("a thread ended") >= 2
    assert (tmp_path / "kept.txt").read_text() == "written"
    assert gzip.decompress((tmp_path / "packed.gz").read_bytes()) == b"packed"


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is not shown there")
@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("pass", "finished"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "failed"),
        ("os.fork() or (os.setsid(), time.sleep(60)); os.abort()", "failed"),
    ],
)
def test_shared_memory_goes_with_the_job(
    ending: str, status: str, run_task: Callable[[str], Ran]
) -> None:
    """Blocks, semaphores and folders that a task forgets go, however it ends."""
    ran = run_task(f"""
        from multiprocessing import shared_memory
        import tempfile
        KEPT = []

        @pyplugs.register
        def act():
            KEPT.append(shared_memory.SharedMemory(create=True, size=10_000))
            KEPT.append(multiprocessing.get_context("spawn").Semaphore())
            print("made", KEPT[0].name, "and", tempfile.mkdtemp(prefix="kept-"))
            {ending}
        """)
    assert ran.status == status
    found = re.search(r"made /?(psm_\w+)", ran.text)
    assert found is not None
    assert not (SHARED_MEMORY / found[1]).exists()
    assert "leaked shared_memory" in ran.text
    folder = re.search(r"and (/\S+/kept-\w+)", ran.text)
    assert folder is not None
    assert not Path(folder[1]).parent.exists()
    assert "removed temporary files that the job left: 'kept-" in ran.text


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is not shown there")
@pytest.mark.parametrize(
    "options", [[], pytest.param(["--timeout", "1s"], marks=pytest.mark.slow)]
)
def test_memory_that_nobody_keeps_account_of(
    options: list[str], run_task: Callable[..., Ran]
) -> None:
    """Blocks and segments without a tracker are removed, and the log says so."""
    ran = run_task(
        f"""
        import _posixshmem, ctypes, mmap
        KEPT = []

        @pyplugs.register
        def act():
            name = f"/raw-{{os.getpid()}}"
            block = _posixshmem.shm_open(name, os.O_CREAT | os.O_RDWR, mode=0o600)
            os.ftruncate(block, 4096)
            KEPT.append(mmap.mmap(block, 4096))
            print("made", name, ctypes.CDLL(None).shmget(0, 4096, 0o1600))
            try:
                time.sleep(60 if {bool(options)} else 0)
            finally:
                {"os.kill(os.getpid(), signal.SIGSTOP)" if options else "pass"}
        """,
        *options,
    )
    assert ran.status == ("failed" if options else "finished")
    found = re.search(r"made /(raw-\d+) (\d+)", ran.text)
    assert found is not None
    assert not (SHARED_MEMORY / found[1]).exists()
    segments = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    assert found[2] not in [line.split()[1] for line in segments]
    assert "removed what the job left in shared memory" in ran.text
