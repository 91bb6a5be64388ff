"""Words for a place in a document: ``step 'train'``, ``'args' of step 'train'``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.engine.issues import show_path

if TYPE_CHECKING:
    from dioptra_worker.engine.issues import Location

_NOUNS = {
    "types": "type",
    "parameters": "parameter",
    "tasks": "task",
    "graph": "step",
    "artifact_inputs": "artifact input",
    "artifact_outputs": "output artifact",
}


def describe(path: Location) -> str:
    """Say what is at a place, to begin or to continue a sentence with."""
    if not path:
        return "the document"
    section, *inner = path
    noun = _NOUNS.get(str(section))
    if not inner or noun is None:
        return f"the section {show_path(path)!r}"
    thing = f"{noun} {inner[0]!r}"
    rest = tuple(inner[1:])
    return f"{show_path(rest)!r} of {thing}" if rest else thing


def begin(path: Location) -> str:
    """Say what is at a place, as the first words of a sentence."""
    words = describe(path)
    return words[0].upper() + words[1:]
