"""Parameters as people type them: text that becomes a value of the declared kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.wording import kind as kind_of
from dioptra_worker.engine.wording import quote, suggestion
from dioptra_worker.tools.resources.parameters import (
    NotOfType,
    article,
    misfits,
    nested,
    parse,
)
from dioptra_worker.tools.workbench.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED = {"number": "float", "null": "any"}
_KINDS = {"string", "integer", "float", "boolean", "list", "mapping", "any"}


def kinds(config: Mapping[str, Any]) -> dict[str, str]:
    """The kind of each parameter, from its type or else its default.

    Args:
        config: A whole task graph; parts that are wrong are left out.
    """
    types = config.get("types")
    parameters = config.get("parameters")
    if not isinstance(parameters, dict):
        return {}
    known = types if isinstance(types, dict) else {}
    return {name: _kind(value, known) for name, value in parameters.items()}


def values(
    given: Mapping[str, Any], config: Mapping[str, Any], known: Mapping[str, str]
) -> dict[str, Any]:
    """The value of each parameter, given or by default.

    Args:
        given: Values by parameter; a text is read by its parameter's kind.
        config: The task graph, which is valid.
        known: The kind of each parameter.

    Raises:
        InvalidRequest: Naming every parameter that is unknown, missing or of another
            kind.
    """
    declared = config.get("parameters", {})
    defaults = {
        name: entry.get("default") if isinstance(entry, dict) else entry
        for name, entry in declared.items()
    }
    try:
        given = nested(given, defaults)
    except NotOfType as error:
        raise InvalidRequest(f"parameter {error}") from None
    problems = [
        f"there is no parameter {name!r}."
        + suggestion(name, declared, "The entrypoint has none.")
        for name in given
        if name not in declared
    ]
    found: dict[str, Any] = {}
    for name, declaration in declared.items():
        if name in given:
            try:
                found[name] = _read(given[name], known.get(name, "any"))
            except NotOfType as error:
                problems.append(f"parameter {name!r}: {error}")
        elif not isinstance(declaration, dict):
            found[name] = declaration
        elif "default" in declaration:
            found[name] = declaration["default"]
        else:
            problems.append(
                f"parameter {name!r} has no default: give it a value, such as"
                f" -P {name}=..."
            )
    if not problems:
        problems = misfits(config, {name: found[name] for name in given})
    if problems:
        raise InvalidRequest(*problems)
    return found


def _read(value: Any, kind: str) -> Any:
    """A value that was given; what is no text is taken as it is, but for its kind."""
    if isinstance(value, str):
        return parse(value, kind)
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind not in {"any", _kind(value, {})}:
        raise NotOfType(f"{quote(value)} is {kind_of(value)}, not {article(kind)}")
    return value


def _kind(value: Any, types: Mapping[str, Any]) -> str:
    """The kind that a declaration, or a bare default, asks for."""
    if isinstance(value, dict) and {"type", "default"} & value.keys():
        named = value.get("type")
        if named is not None:
            return _of_type(named, types)
        value = value["default"]
    plain = {bool: "boolean", int: "integer", float: "float", str: "string"}
    structured = {list: "list", dict: "mapping"}
    return (plain | structured).get(type(value), "any")


def _of_type(name: Any, types: Mapping[str, Any]) -> str:
    if not isinstance(name, str):
        return "any"
    if _NAMED.get(name, name) in _KINDS:
        return _NAMED.get(name, name)
    definition = types.get(name)
    if isinstance(definition, dict):
        if {"list", "tuple"} & definition.keys():
            return "list"
        if "mapping" in definition:
            return "mapping"
    return "any"
