"""Do the definitions under 'types' make sense? The types they define are built here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.topological_order import cycles, topological_order
from dioptra_worker.engine.typesystem.types import (
    BUILT_IN,
    INTEGER,
    STRING,
    ListOf,
    MapOf,
    Simple,
    TupleOf,
    Type,
    Union,
    record,
)
from dioptra_worker.engine.wording import quote, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.engine.issues import Location, Report


def build_types(
    definitions: Mapping[str, Any], report: Report
) -> dict[str, Type | None]:
    """Build the defined types, and report those that cannot be.

    Returns:
        The built-in types and the defined ones by their names; None stands for a type
        that is defined, but wrongly.
    """
    return _Builder(definitions, report).build()


def references_in(definition: Any, path: Location) -> Iterator[tuple[str, Location]]:
    """Yield the type names in a definition, with their places."""
    if isinstance(definition, str):
        yield definition, path
    elif isinstance(definition, dict):
        for key, part in definition.items():
            yield from references_in(part, (*path, key))
    elif isinstance(definition, list):
        for index, part in enumerate(definition):
            yield from references_in(part, (*path, index))


class _Builder:
    """Builds types in an order in which each one's parts come before it."""

    def __init__(self, definitions: Mapping[str, Any], report: Report) -> None:
        self._definitions = definitions
        self._report = report
        self._types: dict[str, Type | None] = {**BUILT_IN}

    def build(self) -> dict[str, Type | None]:
        needs = {
            name: [part for part, _ in references_in(definition, ())]
            for name, definition in self._definitions.items()
        }
        for cycle in cycles(needs):
            if not BUILT_IN.keys() & set(cycle):
                self._report.error(_cycle_message(cycle), ("types", cycle[0]))
        sound = [name for name in self._definitions if self._check_references(name)]
        self._types |= dict.fromkeys(needs.keys() - BUILT_IN.keys())
        for name in topological_order(needs):
            if name in sound:
                self._types[name] = self._named(name, self._definitions[name])
        return self._types

    def _check_references(self, name: str) -> bool:
        if name in BUILT_IN:
            message = f"Type {name!r} is built in and cannot be defined again."
            self._report.error(f"{message} Choose another name.", ("types", name))
            return False
        known = True
        for part, path in references_in(self._definitions[name], ("types", name)):
            if part not in self._definitions and part not in BUILT_IN:
                hint = suggestion(part, [*self._definitions, *BUILT_IN])
                message = f"Type {name!r} refers to {part!r}, which is no type.{hint}"
                self._report.error(message, path)
                known = False
        return known

    def _named(self, name: str, definition: Any) -> Type | None:
        path = ("types", name)
        if not definition:
            return Simple(name)
        if "is_a" not in definition:
            return self._structure(definition, path, name)
        parent = self._types[definition["is_a"]]
        if isinstance(parent, Simple):
            return Simple(name, parent)
        if parent is not None:
            message = (
                f"Type {name!r} cannot be a special case of {str(parent)!r}, since"
            )
            message += " only simple types can."
            self._report.error(message, (*path, "is_a"))
        return None

    def _part(self, definition: Any, path: Location) -> Type | None:
        if isinstance(definition, str):
            return self._types[definition]
        return self._structure(definition, path, None)

    def _structure(
        self, definition: Mapping[str, Any], path: Location, name: str | None
    ) -> Type | None:
        ((structure, inner),) = definition.items()
        path = (*path, structure)
        if structure == "list":
            element = self._part(inner, path)
            return element and ListOf(element, name)
        if structure == "mapping":
            return self._mapping(inner, path, name)
        members = [self._part(part, (*path, i)) for i, part in enumerate(inner)]
        known = tuple(member for member in members if member)
        if len(known) < len(members):
            return None
        if structure == "tuple":
            return TupleOf(known, name)
        self._check_members(known, inner, path)
        return Union(frozenset(known), name)

    def _mapping(self, inner: Any, path: Location, name: str | None) -> Type | None:
        if isinstance(inner, dict):
            fields = {k: self._part(part, (*path, k)) for k, part in inner.items()}
            known = {k: field for k, field in fields.items() if field}
            return record(known, name) if len(known) == len(fields) else None
        key, value = (self._part(part, (*path, i)) for i, part in enumerate(inner))
        if key not in (STRING, INTEGER, None):
            message = "The keys of a mapping type must be 'string' or 'integer', not"
            self._report.error(f"{message} {str(key)!r}.", (*path, 0))
            return None
        return MapOf(key, value, name) if key and value else None

    def _check_members(
        self, members: tuple[Type, ...], inner: list[Any], path: Location
    ) -> None:
        for index, member in enumerate(members):
            if member in members[:index]:
                message = f"Union {path[1]!r} lists {quote(inner[index])} twice."
                self._report.warning(message, (*path, index))


def _cycle_message(cycle: list[str]) -> str:
    if len(cycle) == 1:
        return f"Type {cycle[0]!r} is defined by itself."
    links = ", which needs ".join(repr(name) for name in [*cycle[1:], cycle[0]])
    return f"Types are defined by each other in a circle: {cycle[0]!r} needs {links}."
