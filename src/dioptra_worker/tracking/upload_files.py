"""What of an artifact is stored: its files, since stores know no folders."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from dioptra_worker.common.text.humanize import some_of
from dioptra_worker.errors import ServiceRefused

log = logging.getLogger("dioptra_worker.tracking")

_MAX_NAMED = 3
"""How many of what is left out are named; the others are counted."""


def files_to_upload(path: Path, *, service: str) -> list[Path]:
    """The files to store for an artifact, in an order that is always the same.

    A link counts as the file that it leads to. What is left out is said: links to
    folders, which may lead anywhere, and what cannot be read as a file.

    Args:
        path: The file or folder that an artifact task has written.
        service: What the store is called.

    Raises:
        ServiceRefused: If there is none: nothing would be stored, and the platform
            does not take an artifact that its store does not have. Or if a name is no
            text, which stores keep under another one or not at all.
    """
    found, left_out = stored_files(path)
    if path.is_file():
        _refuse_names(found, path.parent, service=service)
        return found
    _warn_left_out(path, left_out)
    if not found:
        raise ServiceRefused(
            f"the folder {path.name!r} has no file in it, and the artifact store keeps"
            " files only: have the artifact task write at least one",
            service=service,
        )
    _refuse_names(found, path.parent, service=service)
    return found


def stored_files(path: Path) -> tuple[list[Path], list[Path]]:
    """The files that are stored for an artifact, in order, and what is left out."""
    if path.is_file():
        return [path], []
    found: list[Path] = []
    left_out: list[Path] = []
    for parent, folders, names in os.walk(path):
        here = Path(parent)
        left_out += [here / name for name in folders if (here / name).is_symlink()]
        for file in (here / name for name in names):
            (found if file.is_file() else left_out).append(file)
    return sorted(found), left_out


def _refuse_names(files: list[Path], folder: Path, *, service: str) -> None:
    for file in files:
        name = str(file.relative_to(folder))
        if not _is_text(name):
            raise ServiceRefused(
                f"{os.fsencode(name)!r} cannot be stored: its name is not UTF-8; have"
                " the artifact task choose another one",
                service=service,
            )


def _is_text(name: str) -> bool:
    """Whether a name that the system gave has bytes that are UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _warn_left_out(path: Path, left_out: list[Path]) -> None:
    if not left_out:
        return
    log.warning(
        "left out of %r, being links to folders or no files: %s",
        path.name,
        some_of([str(it.relative_to(path)) for it in left_out], _MAX_NAMED),
    )
