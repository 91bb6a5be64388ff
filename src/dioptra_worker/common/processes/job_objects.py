"""Shared memory of one job, as far as its processes can be seen to have it (Linux).

Where jobs have no user of their own, what lies in /dev/shm may be another job's, or
another program's. A block is this job's if it was not there before the job, a process
of the job has it mapped or open, and nobody else has. A System V segment says which
process made it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from dioptra_worker.common.processes.ipc_objects import (
    SHARED_MEMORY,
    remove_system_v,
    system_v,
)
from dioptra_worker.common.processes.process_identity import pids, session_of

_PROC = Path("/proc")
_MAPPED_FIELDS = 6


class _Block(NamedTuple):
    path: str
    inode: int


class JobObjects:
    """Remembers what there was before a job; make it before the job begins."""

    def __init__(self) -> None:
        self._before = _blocks()
        self._segments_before = set(_segments())
        self._held: set[_Block] = set()
        self._segments: set[int] = set()

    def look(self, session: int) -> None:
        """Note what the job's processes have, as long as they live.

        Args:
            session: The job's session, whose number is its runner's.
        """
        new = _blocks() - self._before
        segments = {
            number: maker
            for number, maker in _segments().items()
            if number not in self._segments_before
        }
        if not new and not segments:  # as almost always
            return
        processes = _members(session)
        self._segments |= {n for n, maker in segments.items() if maker in processes}
        self._held |= new & _held_by(processes)

    def remove(self, *, session: int | None = None) -> list[str]:
        """Remove what was noted, but for blocks that another process has.

        Args:
            session: Processes of this session do not count.

        Returns:
            The names of what was removed.
        """
        removed = []
        for number in self._segments & _segments().keys():
            remove_system_v("shm", number)
            removed.append(f"System V shm {number}")
        left = self._held & _blocks()
        if left:
            own = set() if session is None else _members(session)
            left -= _held_by(set(pids()) - own)
        for block in left:
            with contextlib.suppress(OSError):
                Path(block.path).unlink()
                removed.append(block.path)
        return sorted(removed)


def _blocks() -> set[_Block]:
    """The files of our user in shared memory."""
    found = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(SHARED_MEMORY):
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if status.st_uid == os.geteuid():
                    found.add(_Block(entry.path, status.st_ino))
    return found


def _segments() -> dict[int, int]:
    """The System V segments of our user, and the process that made each."""
    return {int(row["shmid"]): int(row["cpid"]) for row in system_v("shm")}


def _members(session: int) -> set[int]:
    """The processes of a session."""
    return {pid for pid in pids() if session_of(pid) == session}


def _held_by(processes: set[int]) -> set[_Block]:
    """What processes have mapped or open in shared memory, if it still has a name."""
    found = set()
    prefix = f"{SHARED_MEMORY}/"
    for pid in processes:
        with contextlib.suppress(OSError):
            maps = (_PROC / str(pid) / "maps").read_text(errors="surrogateescape")
            for line in maps.splitlines():
                fields = line.split(maxsplit=_MAPPED_FIELDS - 1)
                if len(fields) == _MAPPED_FIELDS and fields[-1].startswith(prefix):
                    found.add(_Block(fields[-1], int(fields[-2])))
        with contextlib.suppress(OSError):
            for link in (_PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    path = str(link.readlink())
                    if path.startswith(prefix):
                        found.add(_Block(path, link.stat().st_ino))
    return found
