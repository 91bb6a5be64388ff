"""Types of our engine as types of the platform's, and back."""

from __future__ import annotations

from typing import Any

from dioptra.task_engine import types as theirs

from dioptra_worker.engine.typesystem import types as ours

LIST, TUPLE = theirs.StructureType.LIST, theirs.StructureType.TUPLE
MAPPING = theirs.StructureType.MAPPING


def to_ours(given: Any) -> ours.Type:
    """Convert a type of the platform's engine."""
    if isinstance(given, theirs.SimpleType):
        above = to_ours(given.super_type) if given.super_type else None
        assert above is None or isinstance(above, ours.Simple)
        return ours.Simple(given.name, above)
    if isinstance(given, theirs.UnionType):
        return ours.Union(frozenset(map(to_ours, given.member_types)), given.name)
    inner = given.structure.struct_def
    if given.structure.struct_type is LIST:
        return ours.ListOf(to_ours(inner), given.name)
    if given.structure.struct_type is TUPLE:
        return ours.TupleOf(tuple(map(to_ours, inner)), given.name)
    if isinstance(inner, dict):
        fields = {name: to_ours(part) for name, part in inner.items()}
        return ours.record(fields, given.name)
    key, value = map(to_ours, inner)
    return ours.MapOf(key, value, given.name)


def to_theirs(given: ours.Type) -> Any:
    """Convert a type of our engine."""
    match given:
        case ours.Simple():
            above = to_theirs(given.parent) if given.parent else None
            return theirs.SimpleType(given.name, above)
        case ours.Union():
            return theirs.UnionType(map(to_theirs, given.members), given.name)
        case ours.ListOf():
            return _structured(LIST, to_theirs(given.element), given.name)
        case ours.TupleOf():
            parts = [to_theirs(part) for part in given.elements]
            return _structured(TUPLE, parts, given.name)
        case ours.MapOf():
            pair = [to_theirs(given.key), to_theirs(given.value)]
            return _structured(MAPPING, pair, given.name)
        case ours.Record():
            fields = {name: to_theirs(part) for name, part in given.fields}
            return _structured(MAPPING, fields, given.name)


def _structured(kind: Any, inner: Any, name: str | None) -> Any:
    return theirs.StructuredType(theirs.TypeStructure(kind, inner), name)
