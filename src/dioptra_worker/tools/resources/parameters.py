"""Parameters as people type them: text that becomes a value of the declared kind."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

from dioptra_worker import engine
from dioptra_worker.common.text import plain_yaml
from dioptra_worker.engine.wording import kind as kind_of
from dioptra_worker.engine.wording import quote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
    except (ValueError, RecursionError):
        return text


def declared_default(declared: Mapping[str, Any]) -> Any:
    """The default of a parameter, as one of an entrypoint's ``params`` declares it.

    Args:
        declared: Its table; None where it has no default.

    Raises:
        NotOfType: It is no value of the parameter's type.
    """
    value = declared.get("default_value")
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return parse(text, declared.get("type", "string"))


def nested(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Put values that are given for parts of mappings into them.

    Args:
        given: Values by parameter; ``a.b`` is the entry ``b`` of the mapping ``a``,
            its text JSON where it can be.
        defaults: The defaults of parameters, as texts or values.

    Returns:
        The values by parameter.

    Raises:
        NotOfType: What an entry is given for is no mapping.
    """
    found = {name: value for name, value in given.items() if "." not in name}
    for name, value in given.items():
        whole, dot, path = name.partition(".")
        if not dot:
            continue
        if whole not in found:
            found[whole] = defaults.get(whole)
        found[whole] = _with(found[whole], whole, path.split("."), value)
    return found


def _with(whole: Any, name: str, path: list[str], value: Any) -> dict[str, Any]:
    if isinstance(whole, str):
        whole = parse(whole, "any") if whole.strip() else {}
    if not isinstance(whole, dict | None):
        raise NotOfType(f"{name!r} is no mapping, so it has no {path[0]!r}")
    made = dict(whole or {})
    if len(path) > 1:
        inner = f"{name}.{path[0]}"
        made[path[0]] = _with(made.get(path[0]), inner, path[1:], value)
    else:
        made[path[0]] = parse(value, "any") if isinstance(value, str) else value
    return made


def read_values(file: Path) -> dict[str, Any]:
    """Values of parameters from a file: a mapping in JSON, YAML or TOML.

    Args:
        file: The file; one whose name ends with ``.toml`` is TOML.

    Raises:
        ValueError: It has no mapping; the message says why.
        OSError: It cannot be read.
    """
    content = file.read_bytes()
    try:
        if file.suffix == ".toml":
            return tomllib.loads(content.decode("utf-8"))
        found = plain_yaml.load(content)
    except (ValueError, RecursionError) as error:
        words = " ".join(str(error).split())
        raise ValueError(f"{str(file)!r} cannot be read: {words}") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError(
            f"{str(file)!r} has {kind_of(found)}: it must be a mapping from names of"
            " parameters to values"
        )
    return found


def misfits(config: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Say which values a task graph does not take, down to what is in lists.

    What a parameter is declared as need not say it, but what its steps want. Of single
    values their own type has said all, and of types that are only names nobody knows.

    Args:
        config: A whole task graph.
        values: Values of some of its parameters.
    """
    structured = {k: v for k, v in values.items() if isinstance(v, list | dict)}
    if not structured or _errors(config):
        return []
    parameters, types = config.get("parameters", {}), config.get("types", {})
    problems = []
    for name, value in structured.items():
        declared = parameters.get(name)
        entry = dict(declared) if isinstance(declared, dict) else {}
        if entry.get("type") in types and not types[entry["type"]]:
            continue
        changed = {**parameters, name: {**entry, "default": value}}
        problems += [
            f"parameter {name!r} is given {quote(value)}: {message}"
            for message in _errors({**config, "parameters": changed})
        ]
    return problems


def _errors(config: Mapping[str, Any]) -> list[str]:
    return [
        issue.message
        for issue in engine.validate(config)
        if issue.severity is engine.Severity.ERROR
    ]


def article(kind: str, *, no: bool = False) -> str:
    """Write a kind of parameters with its article, or with ``no``."""
    noun = {"float": "number", "any": "value"}.get(kind, kind)
    if no:
        return f"no {noun}"
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _number(text: str, kind: str) -> int | float:
    try:
        return int(text) if kind == "integer" else float(text)
    except ValueError:
        raise NotOfType(f"{quote(text)} is {article(kind, no=True)}") from None


def _structure(text: str, kind: str) -> Any:
    example = "[1, 2]" if kind == "list" else '{"a": 1}'
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotOfType(
            f"{quote(text)} is not JSON ({error}): write {article(kind)} such as"
            f" {example}"
        ) from None
    if not isinstance(value, list if kind == "list" else dict):
        raise NotOfType(f"{quote(text)} is {article(kind, no=True)} such as {example}")
    return value
