"""Folders that only their owner may enter, and the ends of log files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dioptra_worker.common.files import trusted_folder

if TYPE_CHECKING:
    from pathlib import Path


def make_owner_only(directory: Path) -> None:
    """Make a folder that only its owner may enter; one that is there is closed, too.

    Raises:
        UntrustedFolder: Somebody else could change what is in it.
    """
    trusted_folder.make_private(directory)
    directory.chmod(trusted_folder.PRIVATE_MODE)


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log file, or nothing if there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16384))
            content = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(content.splitlines()[-lines:])
