"""Shared memory, semaphores and message queues that outlive the processes of a user.

The system keeps them until somebody removes them. Where jobs have a user of their own,
all that this user has is the last job's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux shows them
_MESSAGE_QUEUES = Path("/dev/mqueue")
_SYSTEM_V = Path("/proc/sysvipc")
_IPC_RMID = 0
_IDS = {"shm": "shmid", "sem": "semid", "msg": "msqid"}


def ipc_objects() -> set[str]:
    """What this process's user has now, by names for people."""
    return {name for name, _ in _objects()}


def remove_ipc_objects(kept: Collection[str]) -> list[str]:
    """Remove what this process's user has, but for what is to be kept.

    Args:
        kept: Names that `ipc_objects` gave.

    Returns:
        The names of what was removed.
    """
    removed = []
    for name, remove in _objects():
        if name not in kept:
            with contextlib.suppress(OSError):
                remove()
                removed.append(name)
    return removed


def _objects() -> Iterator[tuple[str, Callable[[], object]]]:
    for folder in (SHARED_MEMORY, _MESSAGE_QUEUES):
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                        yield entry.path, Path(entry.path).unlink
    for kind, column in _IDS.items():
        for row in system_v(kind):
            number = int(row[column])
            remove = partial(remove_system_v, kind, number)
            yield f"System V {kind} {number}", remove


def remove_system_v(kind: str, number: int) -> None:
    """Remove an object of System V's: ``shm``, ``sem`` or ``msg``."""
    libc = ctypes.CDLL(None)
    if kind == "sem":
        libc.semctl(number, 0, _IPC_RMID)
    else:
        getattr(libc, f"{kind}ctl")(number, _IPC_RMID, None)


def system_v(kind: str) -> list[dict[str, str]]:
    """This user's objects of a kind, by the columns that the system shows."""
    try:
        heading, *lines = (_SYSTEM_V / kind).read_text().splitlines()
    except (OSError, ValueError):
        return []
    names = heading.split()
    rows = [dict(zip(names, line.split(), strict=False)) for line in lines]
    return [row for row in rows if int(row["uid"]) == os.geteuid()]
