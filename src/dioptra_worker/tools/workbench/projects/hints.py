"""Types of values from the annotations of functions, as a ``dioptra.toml`` has them."""

from __future__ import annotations

import ast
import re
from typing import Any

_NAMES = {
    "int": "integer",
    "float": "number",
    "str": "string",
    "bool": "boolean",
    "None": "null",
    "Any": "any",
    "object": "any",
}
_LISTS = {"list", "List", "Sequence", "Iterable", "Collection"}
_MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}
_TUPLES = {"tuple", "Tuple"}
_ANYTHING = "any"


def structure(annotation: str) -> Any:
    """The type that an annotation means.

    Args:
        annotation: As it is written; an empty one stands for none.

    Returns:
        A name, or a structure as a task graph has it. A class of somebody else's has
        the name of a type that is only a name.
    """
    if not annotation:
        return _ANYTHING
    try:
        return _structure(ast.parse(annotation, mode="eval").body)
    except SyntaxError:
        return _ANYTHING


def outputs(annotation: str) -> list[Any]:
    """The types of what a function returns: of a tuple's entries, each of its own."""
    found = structure(annotation)
    if found == "null":
        return []
    if isinstance(found, dict) and "tuple" in found:
        entries: list[Any] = found["tuple"]
        return entries
    return [found]


def name_of(found: Any) -> str:
    """A name for a structure, such as ``list_of_integer``."""
    if isinstance(found, str):
        return found
    ((kind, inner),) = found.items()
    if kind == "list":
        return f"list_of_{name_of(inner)}"
    if kind == "mapping":
        key, value = inner
        return f"mapping_of_{name_of(key)}_to_{name_of(value)}"
    word = "_and_" if kind == "tuple" else "_or_"
    names = word.join(map(name_of, inner))
    return f"tuple_of_{names}" if kind == "tuple" else names


def names_in(found: Any) -> list[str]:
    """The names that a structure refers to."""
    if isinstance(found, str):
        return [found]
    parts = found.values() if isinstance(found, dict) else found
    return [name for part in parts for name in names_in(part)]


def _structure(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None):
            return "null"
        case ast.Constant(value=str() as text):
            return structure(text)
        case ast.Name() | ast.Attribute():
            return _named(_last(node))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([left, right])
        case ast.Subscript(value=value, slice=inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _subscripted(_last(value), parts)
    return _ANYTHING


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _named(name: str) -> Any:
    if name in _LISTS | _TUPLES:
        return {"list": _ANYTHING}
    if name in _MAPPINGS:
        return {"mapping": ["string", _ANYTHING]}
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return _NAMES.get(name, words or _ANYTHING)


def _subscripted(name: str, parts: list[ast.expr]) -> Any:
    if name == "Annotated":
        return _structure(parts[0])
    if name == "Optional":
        return _union([parts[0], ast.Constant(None)])
    if name == "Union":
        return _union(parts)
    if name in _LISTS:
        return {"list": _structure(parts[0])}
    if name in _TUPLES:
        if isinstance(parts[-1], ast.Constant) and parts[-1].value is ...:
            return {"list": _structure(parts[0])}
        return {"tuple": [_structure(part) for part in parts]}
    if name in _MAPPINGS and len(parts) == 2:
        key = _structure(parts[0])
        if key in ("string", "integer"):
            return {"mapping": [key, _structure(parts[1])]}
        return _ANYTHING
    return _named(name)


def _union(parts: list[ast.expr]) -> Any:
    found: list[Any] = []
    for part in map(_structure, parts):
        inner = part["union"] if isinstance(part, dict) and "union" in part else [part]
        found += [one for one in inner if one not in found]
    if _ANYTHING in found:
        return _ANYTHING
    return found[0] if len(found) == 1 else {"union": found}
