"""What a job leaves where anybody may write, and the next one of its user would see."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.removal import remove
from dioptra_worker.common.text.humanize import some_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LEFT_FILES_TIMEOUT = 30.0
"""Seconds after which the rest is left until the next look, or the worker's end."""
_LOOK_TIMEOUT = 1.0
"""Seconds for one look at these folders, which others may have filled."""
_ANYBODYS = ("/var/tmp", "/dev/shm", "/dev/mqueue")  # noqa: S108 - beside TMPDIR
_MAX_NAMED = 3

_Entry = tuple[str, int]
"""Where it is, and its number on the disk."""


def files_of(uid: int) -> Iterator[tuple[Path, int]]:
    """What belongs to a user in folders that all write to, and their inodes.

    Only what lies directly in them is looked at, and no link is followed.
    """
    for folder in {tempfile.gettempdir(), *_ANYBODYS}:
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_uid == uid:
                        yield Path(entry.path), found.st_ino


class LeftFiles:
    """What one job leaves there: all that its user has afterwards, and not before.

    What the user's fork server has made, as a library that it has imported, stays.
    """

    def __init__(self, uid: int) -> None:
        """Look at what there is before the job begins.

        Args:
            uid: The job's user, which no other process has but its fork server.
        """
        self._uid = uid
        self._before = self._look()

    def find(self) -> list[Path]:
        """What the job has left, as long as none of its processes is there any more.

        Nothing, where there is too much to look at in time.
        """
        if self._before is None or (now := self._look()) is None:
            return []
        return sorted(Path(path) for path, _ in now - self._before)

    def _look(self) -> set[_Entry] | None:
        deadline = time.monotonic() + _LOOK_TIMEOUT
        found: set[_Entry] = set()
        for path, inode in files_of(self._uid):
            found.add((str(path), inode))
            if time.monotonic() > deadline:
                return None
        return found


def remove_files(
    paths: list[Path], *, timeout: float = LEFT_FILES_TIMEOUT
) -> list[Path]:
    """Remove files and folders; what could not be removed in time."""
    deadline = time.monotonic() + timeout
    return [
        path
        for path in paths
        if not remove(path, timeout=max(0.0, deadline - time.monotonic()))
    ]


def named(paths: list[Path]) -> str:
    """Name some files, and count the others."""
    return some_of(list(map(str, paths)), _MAX_NAMED)
