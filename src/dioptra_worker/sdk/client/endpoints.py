"""One line per call of the REST API.

The API is regular, so a collection of the client is a table::

    class Queues(Resource):
        path = "/queues"
        get_by_id = endpoint("GET {queue_id}")
        create = endpoint("POST", body="group_id:group name description?")

makes the methods ``get_by_id(queue_id)`` and ``create(group_id, name,
description=None)``. A parameter is written ``name``, ``name?`` (None when not given) or
``name=1`` (that literal when not given); the name on the wire follows a colon, and is
the name in camel case otherwise. Parameters come in the order path, body, query. One
that is None is not sent.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def endpoint(
    request: str, *, body: str | None = None, query: str = ""
) -> Callable[..., Any]:
    """Describe a call; in a class body, the description becomes a method.

    Args:
        request: The HTTP method and the path below the collection's.
        body: The parameters that go into the JSON body; None for no body.
        query: The parameters that go into the query.
    """
    return cast("Callable[..., Any]", _Endpoint(request, body, query))


def fill(template: str, values: Iterable[object]) -> str:
    """Put values, escaped, for the names in braces of a path, in their order."""
    remaining = iter(values)
    return re.sub(r"\{\w*\}", lambda _: quote(str(next(remaining)), safe=":"), template)


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None, named as on the wire."""
    return {to_wire(name): value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class _Field:
    parameter: Parameter
    wire: str

    @classmethod
    def parse(cls, spec: str) -> _Field:
        declared, _, wire = spec.partition(":")
        name, _, literal = declared.partition("=")
        default: Any = Parameter.empty
        if name.endswith("?"):
            name, default = name[:-1], None
        elif literal:
            default = ast.literal_eval(literal)
        parameter = Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default)
        return cls(parameter, wire or to_wire(name))


class _Endpoint:
    """A call on its way to become a method of the class that it is written in."""

    def __init__(self, request: str, body: str | None, query: str) -> None:
        self._method, _, self._rest = request.partition(" ")
        self._body = None if body is None else [*map(_Field.parse, body.split())]
        self._query = [*map(_Field.parse, query.split())]

    def __set_name__(self, owner: type, name: str) -> None:
        template = f"{owner.path}/{self._rest}".rstrip("/")  # type: ignore[attr-defined]
        method, body, query = self._method, self._body, self._query
        ids = re.findall(r"\{(\w+)\}", template)
        signature = Signature(
            [
                Parameter(part, Parameter.POSITIONAL_OR_KEYWORD)
                for part in ("self", *ids)
            ]
            + [field.parameter for field in (*(body or ()), *query)]
        )

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{owner.__name__}.{name}(): {error}") from None
            bound.apply_defaults()
            values = bound.arguments
            return values["self"].transport.send(
                method,
                fill(template, (values[part] for part in ids)),
                params=_wire(query, values),
                json=None if body is None else _wire(body, values),
            )

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__name__, call.__qualname__ = name, f"{owner.__qualname__}.{name}"
        call.__module__ = owner.__module__
        call.__doc__ = f"Send ``{method} {template}``."
        setattr(owner, name, call)


def _wire(fields: Iterable[_Field], values: Mapping[str, Any]) -> dict[str, Any]:
    named = ((field.wire, values[field.parameter.name]) for field in fields)
    return {name: value for name, value in named if value is not None}


def to_wire(name: str) -> str:
    """Return a parameter's name as the API writes it: in camel case."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
