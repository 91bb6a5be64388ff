"""Small files that only their owner may read, replaced whole."""

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


def write_private(path: Path, content: str) -> None:
    """Write a file with mode 0600; a reader sees the old one or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    draft.replace(path)


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
