"""Records, which are dataclasses, as what JSON can hold, and back."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints


def plain(value: Any) -> Any:
    """A record, or what is in one, as what JSON can hold.

    Args:
        value: A dataclass of dataclasses, mappings, lists, tuples and what JSON has.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return value


def restored(hint: Any, value: Any) -> Any:
    """What `plain` made plain.

    Args:
        hint: The record's class, or the annotation of where the value was.
        value: What JSON gave, of a shape that was checked.
    """
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = _hints(hint)
        return hint(**{name: restored(hints[name], it) for name, it in value.items()})
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple and isinstance(value, list):
        return tuple(restored(inner[0], item) for item in value)
    if origin is Mapping and isinstance(value, dict):
        return {key: restored(inner[1], item) for key, item in value.items()}
    return value


@functools.cache
def _hints(kind: type[Any]) -> Mapping[str, Any]:
    return types.MappingProxyType(get_type_hints(kind))
