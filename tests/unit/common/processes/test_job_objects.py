"""What a job has in shared memory goes with it, and nothing that is somebody else's."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.processes.ipc_objects import remove_system_v, system_v
from dioptra_worker.common.processes.job_objects import JobObjects

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        sys.platform != "linux", reason="other systems do not show who has what"
    ),
]

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux shows it

HOLDER = """
import _posixshmem, ctypes, mmap, os, sys
kept = []
for name in sys.argv[1:]:
    block = _posixshmem.shm_open("/" + name, os.O_CREAT | os.O_RDWR, mode=0o600)
    os.ftruncate(block, 4096)
    kept.append(mmap.mmap(block, 4096))
    os.close(block)
print(ctypes.CDLL(None).shmget(0, 4096, 0o1600) if kept else "", flush=True)
sys.stdin.read()
"""


@pytest.fixture(name="names")
def _names() -> Iterator[list[str]]:
    """Names of four blocks, none of which stays."""
    names = [f"dioptra-test-{uuid.uuid4().hex}" for _ in range(4)]
    yield names
    for name in names:
        (SHARED_MEMORY / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _holding(*names: str) -> Iterator[tuple[int, int]]:
    """A process in a session of its own with these blocks, and its segment."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        segment = int(process.stdout.readline())
        try:
            yield process.pid, segment
        finally:
            process.kill()
            remove_system_v("shm", segment)


def test_only_what_is_the_jobs_is_removed(names: list[str]) -> None:
    """Not what was there before, what another has, or what nobody was seen with."""
    earlier, own, shared, strangers = names
    (SHARED_MEMORY / earlier).touch()
    with _holding(shared, strangers) as (_, strangers_segment):
        objects = JobObjects()
        (SHARED_MEMORY / shared).unlink()
        # The stranger comes by one of its own that the job has opened, too.
        with _holding(shared) as (stranger, _), _holding(earlier, own, shared) as job:
            assert stranger
            objects.look(job[0])
            segments = {int(row["shmid"]) for row in system_v("shm")}
            assert {job[1], strangers_segment} <= segments
            removed = objects.remove(session=job[0])
            assert removed == [str(SHARED_MEMORY / own), f"System V shm {job[1]}"]
            segments = {int(row["shmid"]) for row in system_v("shm")}
            assert strangers_segment in segments
            assert job[1] not in segments
        for left in (earlier, shared, strangers):
            assert (SHARED_MEMORY / left).exists()
        assert not (SHARED_MEMORY / own).exists()


def test_what_was_seen_is_removed_after_a_kill(names: list[str]) -> None:
    """A process that was looked at is killed, and its block goes."""
    objects = JobObjects()
    with _holding(names[0]) as (job, _):
        assert objects.remove() == []
        objects.look(job)
    assert str(SHARED_MEMORY / names[0]) in objects.remove()
