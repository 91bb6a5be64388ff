"""Folders that an import remembers: a job's own take the place of those it was made in.

A library may keep where its user's home is, or write a file there. In a cold process
these are the job's; what was imported beforehand had others, which no job has been in.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


@dataclass(frozen=True)
class ImportFolders:
    """Where something was imported.

    Attributes:
        home: The home.
        current: The current folder, below that.
        temporary: The one for temporary files, below that, too.
    """

    home: str
    current: str
    temporary: str

    def here(self, text: str) -> str:
        """A text as this process' own import would have made it."""
        text = text.replace(self.current, os.getcwd())  # noqa: PTH109 - the text
        return text.replace(self.home, os.environ.get("HOME", ""))


class Place(NamedTuple):
    """Where a text is: in a dict or a list, and where in that."""

    container: Any
    key: Any


@dataclass
class Remembered:
    """What an import has kept of the folders that it was made in.

    Attributes:
        folders: Those.
        texts: Where the texts are that name them.
        files: The files that it wrote into the home, by their paths there; None is a
            folder.
    """

    folders: ImportFolders
    texts: list[Place] = field(default_factory=list)
    files: dict[str, str | None] = field(default_factory=dict)

    def with_files_of(self, other: Remembered | None) -> Remembered:
        """All that this and another one have of files."""
        known = {} if other is None else other.files
        return Remembered(self.folders, self.texts, {**known, **self.files})

    def move_here(self) -> None:
        """Have them name this process' folders, and the files in its home."""
        for container, place in self.texts:
            container[place] = self.folders.here(container[place])
        home = Path(os.environ.get("HOME", "/"))
        for name, content in self.files.items():
            path = home / name
            with contextlib.suppress(OSError):  # on a disk that is full, say
                if content is None:
                    path.mkdir(parents=True, exist_ok=True)
                elif not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(self.folders.here(content), encoding="utf-8")
