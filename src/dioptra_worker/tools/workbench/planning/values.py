"""Parameters as people type them: text that becomes a value of the declared kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.wording import kind as kind_of
from dioptra_worker.engine.wording import quote, suggestion
from dioptra_worker.tools.workbench.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED = {"number": "float", "null": "any"}
_KINDS = {"string", "integer", "float", "boolean", "list", "mapping", "any"}


class NotOfType(ValueError):
    """A text is no value of the kind that is declared; the message says which."""


def parse(text: str, kind: str) -> Any:
    """Read a value, as the platform reads what is typed into a job.

    Args:
        text: What was typed.
        kind: ``string``, ``integer``, ``float``, ``boolean``, ``list`` or ``mapping``
            (both in JSON), or ``any``: JSON if it is that, else the text itself.

    Raises:
        NotOfType: It is no value of that kind.
    """
    match kind:
        case "string":
            return text
        case "integer" | "float":
            return _number(text, kind)
        case "boolean":
            if text.lower() not in {"true", "false"}:
                raise NotOfType(f"{quote(text)} is neither 'true' nor 'false'")
            return text.lower() == "true"
        case "list" | "mapping":
            return _structure(text, kind)
    try:
        return json.loads(text)
    except ValueError:
        return text


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
        raise NotOfType(f"{quote(value)} is {kind_of(value)}, not {_article(kind)}")
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


def _number(text: str, kind: str) -> int | float:
    try:
        return int(text) if kind == "integer" else float(text)
    except ValueError:
        raise NotOfType(f"{quote(text)} is {_article(kind, no=True)}") from None


def _structure(text: str, kind: str) -> Any:
    example = "[1, 2]" if kind == "list" else '{"a": 1}'
    try:
        value = json.loads(text)
    except ValueError as error:
        raise NotOfType(
            f"{quote(text)} is not JSON ({error}): write {_article(kind)} such as"
            f" {example}"
        ) from None
    if not isinstance(value, list if kind == "list" else dict):
        raise NotOfType(f"{quote(text)} is {_article(kind, no=True)} such as {example}")
    return value


def _article(kind: str, *, no: bool = False) -> str:
    noun = {"float": "number", "any": "value"}.get(kind, kind)
    if no:
        return f"no {noun}"
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
