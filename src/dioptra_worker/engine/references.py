"""References inside argument values: ``$name``, ``$name.output``, and ``$$`` for ``$``.

A string that begins with one dollar sign refers to a step, a global parameter or an
artifact input. Nothing else is a reference: ``$`` alone and a dollar sign further in
are plain text, and a doubled one at the start stands for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.engine.issues import Location


@dataclass(frozen=True, slots=True)
class Reference:
    """What a reference names.

    Attributes:
        name: The step, parameter or artifact input.
        output: Its output, or None when the reference has no dot.
    """

    name: str
    output: str | None = None

    def __str__(self) -> str:
        return f"${self.name}" if self.output is None else f"${self.name}.{self.output}"


def parse(text: str) -> Reference | None:
    """Read a string as a reference; None when it is plain text."""
    if len(text) < 2 or text[0] != "$" or text[1] == "$":
        return None
    name, dot, output = text[1:].partition(".")
    return Reference(name, output if dot else None)


def find(value: Any, path: Location = ()) -> Iterator[tuple[Reference, Location]]:
    """Yield every reference in an argument value, with its place.

    Mappings are searched in their values only: a key is never a reference.
    """
    if isinstance(value, str):
        reference = parse(value)
        if reference:
            yield reference, path
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from find(element, (*path, key))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from find(element, (*path, index))


def resolve(value: Any, lookup: Callable[[Reference], Any]) -> Any:
    """Build the value to pass: references looked up, ``$$`` unescaped.

    Lists and mappings are new ones, so a plugin that changes its argument does not
    change the graph.
    """
    if isinstance(value, str):
        reference = parse(value)
        if reference:
            return lookup(reference)
        return value[1:] if value.startswith("$$") else value
    if isinstance(value, dict):
        return {key: resolve(element, lookup) for key, element in value.items()}
    if isinstance(value, list):
        return [resolve(element, lookup) for element in value]
    return value
