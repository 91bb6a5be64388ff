"""Are names strings, and is the document shallow enough to be looked through?

This runs before the schema does, which only knows mappings from strings, as in JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.reading.places import describe
from dioptra_worker.engine.wording import kind

if TYPE_CHECKING:
    from dioptra_worker.engine.issues import Location, Report

_DEEPEST = 200
_OWN_VALUES = {"parameters": 2, "graph": 3, "artifact_outputs": 4}
_IN_SWAPS = 5


def check_keys(data: Any, report: Report) -> None:
    """Report keys that must be strings and are not, and endless nesting."""
    waiting: list[tuple[Any, Location]] = [(data, ())]
    while waiting:
        value, path = waiting.pop()
        if len(path) > _DEEPEST:
            message = f"{describe(path[:2])} is nested deeper than {_DEEPEST} levels."
            report.error(f"{message[0].upper()}{message[1:]}", path[:2])
            return
        if isinstance(value, dict):
            if _holds_names(path):
                _check_mapping(value, path, report)
            waiting += [(item, (*path, key)) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [(item, (*path, i)) for i, item in enumerate(value)]


def _holds_names(path: Location) -> bool:
    """Whether the keys at a place are names, and not part of an author's own value."""
    if not path or path[0] not in _OWN_VALUES:
        return True
    deepest = _OWN_VALUES[str(path[0])]
    if path[0] == "graph" and len(path) > 2 and str(path[2]).startswith("?"):
        deepest = _IN_SWAPS
    return len(path) <= deepest


def _check_mapping(value: dict[Any, Any], path: Location, report: Report) -> None:
    for key in value:
        if isinstance(key, str):
            continue
        message = (
            f"A name in {describe(path)} is {kind(key)}, {key!r}, where a string is"
        )
        message += " needed. Put it in quotes."
        if isinstance(key, bool):
            message += " (YAML reads a bare on, off, yes or no as a boolean.)"
        report.error(message, (*path, key))
