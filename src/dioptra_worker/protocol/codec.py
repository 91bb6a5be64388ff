"""The messages of `protocol.messages` as lines of JSON: nothing is pickled.

`encode` and `decode` are each other's inverse.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, get_args

from dioptra_worker.protocol.messages import ArtifactTask, InputArtifact, Message

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Message)}
_NESTED = {"artifact_tasks": ArtifactTask, "inputs": InputArtifact}
_TYPES: dict[str, tuple[type[Any], ...]] = {
    "bool": (bool,),
    "float": (float, int),
    "float | str": (float, int, str),
    "int": (int,),
    "int | None": (int, type(None)),
    "str": (str,),
    "str | None": (str, type(None)),
    "Activity": (str,),
    "Ending": (str,),
    "Severity": (str,),
    "Literal['stdout', 'stderr']": (str,),
    "Mapping[str, Any]": (dict,),
    "Mapping[str, str]": (dict,),
    "tuple[ArtifactTask, ...]": (tuple,),
    "tuple[InputArtifact, ...]": (tuple,),
    "tuple[str, ...]": (tuple,),
}
"""What JSON gives for each annotation of a field."""


_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()
"""Both of our own, as plugins put faster functions in the place of Python's."""


def encode(message: Message) -> bytes:
    """One message as a line of JSON, newline included.

    Args:
        message: What to say.

    Returns:
        UTF-8; lone surrogates, which UTF-8 cannot say, are escaped by JSON.
    """
    body = {"is": type(message).__name__, **_plain(message)}
    return _ENCODER.encode(body).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """The message on a line of JSON.

    Args:
        line: What `encode` gave, with or without its newline.

    Returns:
        The same message.

    Raises:
        ValueError: If the line holds no message of ours.
    """
    try:
        body = _DECODER.decode(line.decode())
    except RecursionError:
        raise ValueError(f"nested too deeply: {line[:80]!r}") from None
    name = body.pop("is", None) if isinstance(body, dict) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"no message of the worker: {line[:80]!r}")
    try:
        for name, nested in _NESTED.items():
            if name in body:
                body[name] = tuple(_restore(nested, item) for item in body[name])
        message: Message = _restore(kind, body)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"malformed {kind.__name__}: {error}") from None
    return message


def _plain(record: Any) -> dict[str, Any]:
    return {
        field.name: [_plain(item) for item in value] if nested else value
        for field in dataclasses.fields(record)
        for value in (getattr(record, field.name),)
        for nested in (field.name in _NESTED,)
    }


def _restore(kind: type[Any], body: Mapping[str, Any]) -> Any:
    values = dict(body)
    if "outputs" in values:
        values["outputs"] = tuple(values["outputs"])
    record = kind(**values)
    for field in dataclasses.fields(record):
        if not _fits(getattr(record, field.name), str(field.type)):
            raise TypeError(f"{field.name} must be {field.type}")
    return record


def _fits(value: object, declared: str) -> bool:
    """Whether a value is what its field's annotation says, items not looked at."""
    expected = _TYPES[declared]
    if isinstance(value, bool):  # which is a kind of int in Python, but not here
        return bool in expected
    return isinstance(value, expected)
