"""Whether workers that share our folder have jobs: other slots of a pool, above all.

Each holds a lock on a file while it has one. The locks are those of `fcntl`, which are
a process's: the kernel says whether another has one, without taking any, and they end
with the process. A job of our user may take them, too; then nothing is imported
beforehand, and that is all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE = "jobs.lock"
"""Its name in the work folder."""
_FLOCK = "hhqqi"
"""Linux's `struct flock`: kind, whence, start, length, process."""


class OtherWorkers:
    """The workers that share a folder with us; for any thread."""

    def __init__(self, folder: Path) -> None:
        """Prepare; nothing is locked yet.

        Args:
            folder: The work folder.
        """
        self._path = folder / FILE
        self._descriptor: int | None = None

    def have_job(self) -> None:
        """Let them know that we have a job."""
        self._lock(fcntl.LOCK_SH | fcntl.LOCK_NB)

    def have_no_job(self) -> None:
        """Let them know that we have none."""
        self._lock(fcntl.LOCK_UN)

    def are_idle(self) -> bool:
        """Whether none of them has a job, as far as can be seen."""
        if (file := self._open()) is None:
            return True
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            found = fcntl.fcntl(file, fcntl.F_GETLK, asked)
        except OSError:  # a file system without locks
            return True
        return bool(struct.unpack(_FLOCK, found)[0] == fcntl.F_UNLCK)

    def _lock(self, kind: int) -> None:
        if (file := self._open()) is not None:
            # Whoever keeps us from it only has others not know of our job.
            with contextlib.suppress(OSError):
                fcntl.lockf(file, kind)

    def _open(self) -> int | None:
        """The file, open for as long as we live: if closed, our lock would be gone."""
        if self._descriptor is None and sys.platform == "linux":
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            with contextlib.suppress(OSError):
                self._descriptor = os.open(self._path, flags | os.O_CLOEXEC, 0o600)
        return self._descriptor
