"""Leaves out what docstrings say to readers of the code only.

A Sphinx extension. A module's docstring is about how the code hangs together, and the
page has words of its own; a field of a named tuple is described with its class.
What stands before a constant's colon is part of its sentence.
"""

from __future__ import annotations

from typing import Any

FIELD = "Alias for field number"


TYPE = ":type: "


def shorten(_app: Any, kind: str, *rest: Any) -> None:
    """Take away a module's docstring, and what is no type of a constant's."""
    lines: list[str] = rest[-1]
    if kind == "module":
        lines.clear()
    elif kind in {"attribute", "data"}:
        lines[:] = joined(lines)


def joined(lines: list[str]) -> list[str]:
    """A sentence with a colon, whose beginning Napoleon has taken for a type.

    Args:
        lines: What Napoleon has made of the docstring: our types are annotations.
    """
    for number, line in enumerate(lines):
        if line.startswith(TYPE):
            sentence = f"{line.removeprefix(TYPE)}: {lines[0]}"
            return [sentence, *lines[1:number], *lines[number + 1 :]]
    return lines


def skip(_app: Any, _kind: str, _name: str, thing: Any, *_: Any) -> bool | None:
    """Leave out the fields of named tuples; None leaves it to autodoc."""
    return True if str(getattr(thing, "__doc__", "")).startswith(FIELD) else None


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", shorten)
    app.connect("autodoc-skip-member", skip)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
