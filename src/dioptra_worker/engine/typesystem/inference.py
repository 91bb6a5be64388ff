"""The type of a value that is written in the document.

A list is inferred as a tuple, which fits where a list is wanted. A mapping is a record
when its keys are strings and a map when they are integers; with other keys nothing is
known about it but that it is a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine import references
from dioptra_worker.engine.typesystem.types import (
    ANY,
    BOOLEAN,
    INTEGER,
    NULL,
    NUMBER,
    STRING,
    MapOf,
    TupleOf,
    Type,
    Union,
    record,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.engine.references import Reference

    TypeOfReference = Callable[[Reference], Type]


def infer(value: Any, type_of: TypeOfReference | None = None) -> Type:
    """Infer the type of a value.

    Args:
        value: The value, as YAML or JSON gives it.
        type_of: The type of a reference. None stands for a place where there are no
            references, and a string is then a string whatever it begins with.
    """
    if isinstance(value, str):
        reference = references.parse(value) if type_of else None
        return type_of(reference) if type_of and reference else STRING
    if value is None:
        return NULL
    for kind, inferred in ((bool, BOOLEAN), (int, INTEGER), (float, NUMBER)):
        if isinstance(value, kind):  # a bool is an int, so the order matters
            return inferred
    if isinstance(value, Mapping):
        return _infer_mapping(value, type_of)
    if isinstance(value, Iterable):
        return TupleOf(tuple(infer(element, type_of) for element in value))
    return ANY


def _infer_mapping(value: Mapping[Any, Any], type_of: TypeOfReference | None) -> Type:
    key_types = {infer(key) for key in value}
    if key_types <= {STRING}:
        return record({key: infer(item, type_of) for key, item in value.items()})
    if key_types == {INTEGER}:
        members = frozenset(infer(item, type_of) for item in value.values())
        only = next(iter(members)) if len(members) == 1 else Union(members)
        return MapOf(INTEGER, only)
    return ANY
