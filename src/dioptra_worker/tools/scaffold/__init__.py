"""Writes the beginnings of a container image of one's own, for ``init-image``.

`deployment_override` writes the file that puts our images into a deployment.

Each file in ``templates/`` becomes one file of the project. ``@NAME@`` and ``@QUEUE@``
are the image's and the queue's name; a template's own path tells where it goes.
"""

from __future__ import annotations

import json
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
_ASKED = {"@NAME@": "{{ cookiecutter.name }}", "@QUEUE@": "{{ cookiecutter.queue }}"}
"""What stands in a template of ours, and what in one of cookiecutter's."""


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


def cookiecutter_texts(name: str, queue: str) -> dict[str, str]:
    """The files of a template for cookiecutter that makes such projects.

    Args:
        name: The image's name that it proposes.
        queue: The queue that it proposes.

    Returns:
        Their texts by their paths.

    Raises:
        ScaffoldError: A name cannot be used.
    """
    check_name(name)
    check_queue(queue)
    answers = {"name": name, "queue": queue if queue != name else _ASKED["@NAME@"]}
    found = {
        "cookiecutter.json": json.dumps(answers, indent=2) + "\n",
        "hooks/pre_gen_project.py": _template("pre_gen_project.py")
        .replace("@NAME@", _NAME.pattern)
        .replace("@QUEUE@", _QUEUE.pattern)
        .replace("@LENGTH@", str(_MAX_LENGTH)),
    }
    for file in FILES:
        text = _template(file)
        for asked, answer in _ASKED.items():
            text = text.replace(asked, answer)
        found[f"{_ASKED['@NAME@']}/{file}"] = text
    return found


def write(
    name: str, queue: str, folder: Path, *, cookiecutter: bool = False
) -> list[Path]:
    """Write a project, or a template of such, into a folder that is new or empty.

    Args:
        name: The image's name.
        queue: The queue that it serves.
        folder: Where; it is made if need be.
        cookiecutter: A template for cookiecutter.

    Returns:
        The files.

    Raises:
        ScaffoldError: A name cannot be used, the folder holds something, or it cannot
            be written.
    """
    contents = (cookiecutter_texts if cookiecutter else texts)(name, queue)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ScaffoldError(
                f"{str(folder)!r} is not empty, and nothing is overwritten: name a new"
                " folder with --dir."
            )
        for file, text in contents.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            if path.name == "check":
                path.chmod(0o755)
    except OSError as error:
        raise ScaffoldError(
            f"{str(folder)!r} cannot be written: {error.strerror}."
        ) from error
    return [folder / file for file in contents]


def _template(file: str) -> str:
    name = file.removeprefix(".")
    return (TEMPLATES / f"{name}.template").read_text(encoding="utf-8")
