"""Which variables, that libraries read when they are imported, a job's code may set.

Its source is looked at as text: whoever wants to set a variable names it, or changes
the environment in one of the usual ways; whoever makes up both is told when it was too
late.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dioptra_worker.protocol.preload_rules import READ_BY_LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_BYTES = 8 << 20
"""Of the source of one job that is looked at."""
_NAMES = re.compile(
    rb"\b(?:" + "|".join(READ_BY_LIBRARIES).encode() + rb")[A-Z0-9_]*\b"
)
_OTHER_WAYS = re.compile(rb"\b(?:putenv|unsetenv|setenv|load_dotenv|environb)\b")
_CHANGES = re.compile(
    rb"\benviron\s*(?:\[[^\]]*\]\s*=(?!=)|\|=|\.\s*(?:update|setdefault|pop|clear)\b)"
    rb"|\bdel\s+(?:os\s*\.\s*)?environ\b|\bpatch\.dict\b"
)
"""No list has all variables that libraries written in C read."""


def named_in(folders: Iterable[Path]) -> str | None:
    """The first variable that code names, or a way that it sets any; None for none.

    Args:
        folders: Where the code lies.
    """
    try:
        return _named_in(folders)
    except OSError as error:
        return f"a file that cannot be read ({error})"


def _named_in(folders: Iterable[Path]) -> str | None:
    left = MAX_BYTES
    for file in _files(folders):
        with file.open("rb") as reader:
            text = reader.read(left + 1)
        left -= len(text)
        if left < 0:
            return "more code than is looked at"
        for kind in (_NAMES, _OTHER_WAYS, _CHANGES):
            if found := kind.search(text):
                return found[0].decode(errors="replace")
    return None


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (file for file in sorted(folder.rglob("*")) if file.is_file())
