"""Configurations: the values of an entrypoint's parameters, in one canonical form.

A configuration holds what differs from the entrypoint's defaults, with every value in
the type that its parameter declares. So ``lr=1e-1`` and ``lr=0.1`` are the same, and a
default that is passed explicitly is the same as one that is left out.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NAMESPACE = uuid.UUID("6f3c3a52-6c1a-5d0e-9d0b-9a4f0d8c7b11")
"""The namespace of every id that is computed here; changing it changes all ids."""


class BadValue(WorkerError):
    """A parameter does not exist, or its value is not of its type.

    Attributes:
        name: The parameter.
    """

    def __init__(self, message: str, *, name: str) -> None:
        self.name = name
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter that an entrypoint declares.

    Attributes:
        name: Its name.
        kind: ``string``, ``integer``, ``float``, ``boolean``, ``list`` or ``mapping``.
        default: Its default as the API keeps it, a text; None if there is none.
    """

    name: str
    kind: str
    default: str | None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Parameter:
        """Read one entry of ``parameters`` of an entrypoint in the API's answer."""
        return cls(
            name=body["name"],
            kind=body["parameterType"],
            default=body.get("defaultValue"),
        )


def canonical_text(value: object) -> str:
    """A value as JSON that is equal for equal values: sorted, without spaces."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
    )


def coerce(parameter: Parameter, value: object) -> Any:
    """Give a value the type that its parameter declares, as the REST API does.

    Args:
        parameter: What the value is for.
        value: A text as the API keeps it, or what a YAML file gave.

    Returns:
        The typed value; None stays None.

    Raises:
        BadValue: If it has no such value.
    """
    if value is None:
        return None
    text = value if isinstance(value, str) else canonical_text(value)
    try:
        return _READERS[parameter.kind](text)
    except KeyError:
        return text
    except ValueError:
        raise BadValue(
            f"parameter {parameter.name!r} must be {_ARTICLES[parameter.kind]}, not"
            f" {text!r}",
            name=parameter.name,
        ) from None


def typed_defaults(parameters: Iterable[Parameter]) -> dict[str, Any]:
    """The defaults by name, each in its type, or as it is if it has no such value."""
    found: dict[str, Any] = {}
    for parameter in parameters:
        try:
            found[parameter.name] = coerce(parameter, parameter.default)
        except BadValue:
            found[parameter.name] = parameter.default
    return found


def deviations(
    parameters: Iterable[Parameter], values: Mapping[str, object]
) -> dict[str, Any]:
    """What of some values differs from the defaults: the canonical configuration.

    Args:
        parameters: All parameters of the entrypoint.
        values: Some of their values, typed or as text.

    Returns:
        Typed values by name, sorted; empty for the default configuration.

    Raises:
        BadValue: If a name is not a parameter's, or a value not of its type.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in values:
        if name not in known:
            raise BadValue(
                f"there is no parameter {name!r}: the entrypoint has"
                f" {', '.join(sorted(known)) or 'none'}",
                name=name,
            )
    return differences(
        {name: coerce(known[name], value) for name, value in values.items()},
        {name: coerce(known[name], known[name].default) for name in values},
    )


def differences(
    values: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """What of some typed values is not the default, by name, sorted.

    Args:
        values: Typed values.
        defaults: Typed defaults; a parameter without one has none here, or None.
    """
    return {
        name: values[name]
        for name in sorted(values)
        if canonical_text(values[name]) != canonical_text(defaults.get(name))
    }


def with_defaults(
    values: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """A job's typed values with the defaults of parameters that it leaves out.

    The platform gives a job the values that its task graph uses and those that were
    passed, so that an unused default would make a difference only when it is passed.
    """
    known = {name: value for name, value in defaults.items() if value is not None}
    return {**known, **values}


def configuration_id(entrypoint_id: int, configuration: Mapping[str, object]) -> str:
    """The id of a configuration of an entrypoint.

    Args:
        entrypoint_id: The entrypoint, in whichever version.
        configuration: What `deviations` gave.

    Returns:
        A UUID, the same for the same configuration everywhere.
    """
    name = f"configuration:{entrypoint_id}:{canonical_text(dict(configuration))}"
    return str(uuid.uuid5(NAMESPACE, name))


def _boolean(text: str) -> bool:
    words = {"true": True, "false": False}
    try:
        return words[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


def _json(kind: type[Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError(text)  # noqa: TRY004 - the text is wrong, not the program
        return value

    return read


_READERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": _boolean,
    "list": _json(list),
    "mapping": _json(dict),
}
_ARTICLES = {
    "string": "a text",
    "integer": "an integer",
    "float": "a number",
    "boolean": "true or false",
    "list": "a list in JSON, such as [1, 2]",
    "mapping": 'a mapping in JSON, such as {"a": 1}',
}
