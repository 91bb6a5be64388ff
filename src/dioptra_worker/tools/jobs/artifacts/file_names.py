"""What an artifact is called as a file here; its name comes from somebody's plugin.

Pure. A name may hold what leads out of a folder, breaks a header, hides a file, or
looks like something else.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dioptra_worker.api.models import Artifact

ARCHIVE = ".tar.gz"
_MAX_BYTES = 200
"""Bytes of a name; most file systems take 255, and others put something behind it."""
_UNFIT = re.compile(r'[/\\:*?"<>|\s]')
# Control characters, what turns the direction of writing around, and halves of letters.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def file_name(text: str, *, otherwise: str) -> str:
    """Make a name that is one in every folder, and is seen there.

    Args:
        text: The name as it was given.
        otherwise: The name of what has none.
    """
    kept = "".join(_fit(letter) for letter in unicodedata.normalize("NFC", text))
    kept = _shortened(kept.strip().rstrip("."))
    if kept.startswith("."):
        kept = f"_{kept[1:]}"
    return kept if kept.strip("_ .") else otherwise


def file_names(artifacts: Iterable[Artifact]) -> dict[int, str]:
    """Name each of some artifacts differently; folders without their archive's ending.

    Args:
        artifacts: The artifacts.

    Returns:
        The names by the artifacts' ids.
    """
    names = {
        artifact.id: file_name(artifact.file_name, otherwise=f"artifact-{artifact.id}")
        for artifact in artifacts
    }
    while True:  # again, as another may be called as one is now
        # On some systems two names that differ in case only are the same.
        count = Counter(name.casefold() for name in names.values())
        double = [id_ for id_, name in names.items() if count[name.casefold()] > 1]
        if not double:
            return names
        names |= {id_: f"{id_}-{names[id_]}" for id_ in double}


def disposition(name: str) -> str:
    """The header that has a browser save what it gets under a name.

    Args:
        name: As `file_name` makes them.
    """
    # Some browsers take a percent sign for the beginning of a letter.
    plain = "".join(c if c.isascii() and c != "%" else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _fit(letter: str) -> str:
    if letter == " ":
        return letter
    if unicodedata.category(letter) in _HIDDEN or _UNFIT.match(letter):
        return "_"
    return letter


def _shortened(name: str) -> str:
    """Cut from the middle, so that a name keeps its ending."""
    if len(name.encode()) <= _MAX_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > _MAX_BYTES // 4:
        stem, dot, ending = name, "", ""
    room = _MAX_BYTES - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + ending
