"""Which files have changed: looked at again and again, since that works everywhere.

The files of an entrypoint are few, and a look costs less than a millisecond. Systems'
own notifications differ, miss changes on network folders, and need a package.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

POLL_INTERVAL = 0.2
"""Seconds between two looks."""

_NOT_LOOKED_AT = {"__pycache__"}

Stamp = tuple[int, int, int]


def stamps(paths: Iterable[Path]) -> dict[Path, Stamp]:
    """What tells whether files have changed, by file; folders are walked.

    Editors write a new file and give it the old one's name, so its number counts, too.
    """
    found: dict[Path, Stamp] = {}
    for path in paths:
        for file in _files(path):
            try:
                state = file.stat()
            except OSError:  # it went away since it was listed
                continue
            found[file] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found


def changed(before: Mapping[Path, Stamp], after: Mapping[Path, Stamp]) -> list[Path]:
    """The files that were changed, added or removed."""
    return sorted(
        file
        for file in before.keys() | after.keys()
        if before.get(file) != after.get(file)
    )


class Watch:
    """Sees changes of some files since it was made, or since the last one it told.

    Attributes:
        seen: The files as they were then.
    """

    def __init__(
        self, paths: Iterable[Path], *, known: Mapping[Path, Stamp] | None = None
    ) -> None:
        """Look at them.

        Args:
            paths: The files, and the folders of files.
            known: How files were that somebody has looked at before: of those among
                them, changes count from then on.
        """
        self._paths = tuple(paths)
        self.seen = stamps(self._paths) | {
            file: stamp
            for file, stamp in (known or {}).items()
            if any(file.is_relative_to(path) for path in self._paths)
        }
        self._pending = self.seen

    def changes(self) -> list[Path]:
        """What has changed, once that is over for a while.

        A program that saves several files, or one in several steps, is waited for by
        taking a change only when the next look is the same.
        """
        now = stamps(self._paths)
        if now == self.seen:
            return []
        before, self._pending = self._pending, now
        if before != now:
            return []
        found = changed(self.seen, now)
        self.seen = now
        return found

    def wait(self, sleep: Callable[[float], object]) -> list[Path]:
        """Wait for a change.

        Args:
            sleep: Waits between two looks; may raise to give up.

        Returns:
            The files.
        """
        while not (found := self.changes()):
            sleep(POLL_INTERVAL)
        return found


def _files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, names, files in os.walk(path):
        names[:] = [name for name in names if name not in _NOT_LOOKED_AT]
        for file in files:
            if not file.startswith("."):
                yield Path(folder, file)
