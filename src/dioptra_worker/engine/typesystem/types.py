"""The types of values, as an entrypoint's section 'types' defines them.

A simple type is a name. The others have a structure, and a name only when they are
defined directly under 'types'. Two types are equal when they have the same name, or
no name and the same structure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Simple:
    """A type that is only a name, and perhaps a special case of another."""

    name: str
    parent: Simple | None = None

    def is_a(self, other: Simple) -> bool:
        """Whether this is the other type, or a special case of it."""
        return self == other or (self.parent is not None and self.parent.is_a(other))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListOf:
    """Any number of values of one type."""

    element: Type
    name: str | None = None

    def __str__(self) -> str:
        return self.name or f"list[{self.element}]"


@dataclass(frozen=True, slots=True)
class TupleOf:
    """As many values as there are element types, each of its own."""

    elements: tuple[Type, ...]
    name: str | None = None

    def __str__(self) -> str:
        return self.name or f"tuple[{', '.join(map(str, self.elements))}]"


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with exactly these properties; build it with `record`."""

    fields: tuple[tuple[str, Type], ...]
    name: str | None = None

    def __str__(self) -> str:
        inner = ", ".join(f"{key}: {value}" for key, value in self.fields)
        return self.name or f"mapping{{{inner}}}"


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping with any keys of one type and values of another."""

    key: Type
    value: Type
    name: str | None = None

    def __str__(self) -> str:
        return self.name or f"mapping[{self.key}, {self.value}]"


@dataclass(frozen=True, slots=True)
class Union:
    """Any one of the member types."""

    members: frozenset[Type]
    name: str | None = None

    def __str__(self) -> str:
        return self.name or f"union[{', '.join(sorted(map(str, self.members)))}]"


Type = Simple | ListOf | TupleOf | Record | MapOf | Union
Structured = ListOf | TupleOf | Record | MapOf


def record(fields: Mapping[str, Type], name: str | None = None) -> Record:
    """Build a record; the order of its properties does not matter."""
    return Record(tuple(sorted(fields.items(), key=lambda field: field[0])), name)


ANY = Simple("any")
NUMBER = Simple("number")
INTEGER = Simple("integer", NUMBER)
STRING = Simple("string")
BOOLEAN = Simple("boolean")
NULL = Simple("null")

BUILT_IN: Mapping[str, Simple] = {
    built_in.name: built_in
    for built_in in (STRING, INTEGER, NUMBER, BOOLEAN, NULL, ANY)
}

NOTHING = Union(frozenset())
"""The empty union, which fits everywhere: also the type of what is not known."""
