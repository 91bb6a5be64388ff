"""Writes the beginnings of a container image of one's own, for ``init-image``.

Each file in ``templates/`` becomes one file of the project. ``@NAME@`` and ``@QUEUE@``
are the image's and the queue's name; a template's own path tells where it goes.
"""

from __future__ import annotations

import re
from pathlib import Path

from dioptra_worker.errors import WorkerError

TEMPLATES = Path(__file__).with_name("templates")
FILES = (
    "Dockerfile",
    "requirements.txt",
    "compose.yaml",
    "check",
    ".dockerignore",
    "README.md",
)
"""The files of a project, in the order in which to read them."""

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_QUEUE = re.compile(r"[A-Za-z0-9_.-]+(?: +[A-Za-z0-9_.-]+)*")
_MAX_LENGTH = 64


class ScaffoldError(WorkerError):
    """The project cannot be written."""


def check_name(name: str) -> None:
    """Check that an image can have this name.

    Raises:
        ScaffoldError: It cannot.
    """
    if not _NAME.fullmatch(name) or len(name) > _MAX_LENGTH:
        raise ScaffoldError(
            f"{name!r} cannot be an image's name: take lower-case letters and digits,"
            f" with single '-', '_' or '.' between them, {_MAX_LENGTH} at most, such as"
            " my-worker."
        )


def check_queue(queue: str) -> None:
    """Check that the platform can have a queue of this name.

    Raises:
        ScaffoldError: It cannot.
    """
    if not _QUEUE.fullmatch(queue) or queue.startswith("-") or len(queue) > _MAX_LENGTH:
        raise ScaffoldError(
            f"{queue!r} cannot be a queue's name: take letters, digits, '_', '-' and"
            f" '.', {_MAX_LENGTH} at most, such as my-queue."
        )


def texts(name: str, queue: str) -> dict[str, str]:
    """The files of a project.

    Args:
        name: The image's name.
        queue: The queue that it serves.

    Returns:
        Their texts by their names.

    Raises:
        ScaffoldError: A name cannot be used.
    """
    check_name(name)
    check_queue(queue)
    return {
        file: _template(file).replace("@NAME@", name).replace("@QUEUE@", queue)
        for file in FILES
    }


def write(name: str, queue: str, folder: Path) -> list[Path]:
    """Write a project into a folder that is new or empty.

    Args:
        name: The image's name.
        queue: The queue that it serves.
        folder: Where; it is made if need be.

    Returns:
        The files.

    Raises:
        ScaffoldError: A name cannot be used, the folder holds something, or it cannot
            be written.
    """
    contents = texts(name, queue)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ScaffoldError(
                f"{str(folder)!r} is not empty, and nothing is overwritten: name a new"
                " folder with --dir."
            )
        for file, text in contents.items():
            (folder / file).write_text(text, encoding="utf-8")
        (folder / "check").chmod(0o755)
    except OSError as error:
        raise ScaffoldError(
            f"{str(folder)!r} cannot be written: {error.strerror}."
        ) from error
    return [folder / file for file in contents]


def _template(file: str) -> str:
    name = file.removeprefix(".")
    return (TEMPLATES / f"{name}.template").read_text(encoding="utf-8")
