"""The messages of `protocol.messages` as lines of JSON: nothing is pickled.

`encode` and `decode` are each other's inverse. `decode_from_runner` reads what may have
been written by a plugin, and so takes what a runner says and nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from time import monotonic_ns  # bound here: plugin code may replace it
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dioptra_worker.protocol.flat_json import read_flat
from dioptra_worker.protocol.forkserver import ForkserverReport, ForkserverRequest
from dioptra_worker.protocol.messages import Message, RunnerMessage

WELCOME = b"\n"
"""What the worker says to a process of a job whose connection it has taken."""
_MAX_TIME_DIGITS = 20
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()
"""Both of our own, as plugins put faster functions in the place of Python's."""


@dataclasses.dataclass(frozen=True)
class _Field:
    """How JSON holds a field of a record.

    Attributes:
        declared: Its annotation.
        json_types: What JSON gives for it; the items of what it holds are not looked
            at, unless they are records.
        item_type: The class of its items, if it is a tuple of records.
        choices: What it can be, if it is one of a few words.
    """

    declared: str
    json_types: tuple[type[Any], ...]
    item_type: type[Any] | None
    choices: tuple[str, ...] = ()

    def to_json(self, value: Any) -> Any:
        """A value as what JSON can hold."""
        return value if self.item_type is None else [_plain(item) for item in value]

    def from_json(self, name: str, value: Any) -> Any:
        """The value that JSON holds.

        Raises:
            TypeError: If it is of another type than the field.
        """
        # In Python a bool is a kind of int, but not here.
        allowed = bool in self.json_types or not isinstance(value, bool)
        if not allowed or not isinstance(value, self.json_types):
            raise TypeError(f"{name} must be {self.declared}")
        if self.choices and value not in self.choices:
            raise TypeError(f"{name} must be one of {', '.join(self.choices)}")
        if not isinstance(value, list):
            return value
        if self.item_type is None:
            return tuple(value)
        return tuple(_restore(self.item_type, item) for item in value)


def encode(message: Message | ForkserverRequest | ForkserverReport) -> bytes:
    """One message as a line of JSON, newline included.

    Args:
        message: What to say.

    Returns:
        UTF-8; lone surrogates, which UTF-8 cannot say, are escaped by JSON.
    """
    body = {"is": type(message).__name__, **_plain(message)}
    return _ENCODER.encode(body).encode("ascii") + b"\n"


def encode_at(message: Message) -> bytes:
    """The same, after the time in nanoseconds on a clock that all processes share.

    Several processes of a job speak: so it is told which of them spoke first.
    """
    return b"%d %s" % (monotonic_ns(), encode(message))


def split_time(line: bytes) -> tuple[int | None, bytes]:
    """What `encode_at` wrote, as the time and the rest; None for no time."""
    time, found, rest = line.partition(b" ")
    if found and time.isdigit() and len(time) <= _MAX_TIME_DIGITS:
        return int(time), rest
    return None, line


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
    message: Message = _message(body, _KINDS, line)
    return message


def decode_from_runner(line: bytes) -> RunnerMessage:
    """The message of a runner on a line of JSON, which anybody may have written.

    Args:
        line: What `encode` gave, without its newline.

    Returns:
        The message; its texts have no lone surrogates, its integers 64 bits at most and
        its floats are finite.

    Raises:
        ValueError: If the line holds nothing that a runner says.
    """
    message: RunnerMessage = _message(read_flat(line), _RUNNER_KINDS, line)
    return message


def _message(body: Any, kinds: dict[str, type[Any]], line: bytes) -> Any:
    name = body.pop("is", None) if isinstance(body, dict) else None
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"no message of the worker: {line[:80]!r}")
    try:
        return _restore(kind, body)
    except TypeError as error:
        raise ValueError(f"malformed {kind.__name__}: {error}") from None


def decode_request(line: bytes) -> ForkserverRequest:
    """What a launcher asks of its fork server, on a line of JSON."""
    request: ForkserverRequest = _own(line)
    return request


def decode_report(line: bytes) -> ForkserverReport:
    """What a fork server reports to its launcher, on a line of JSON."""
    report: ForkserverReport = _own(line)
    return report


def _own(line: bytes) -> Any:
    """A record that our own code has written, and nobody else can have."""
    body = _DECODER.decode(line.decode())
    return _restore(_FORKSERVER_KINDS[body.pop("is")], body)


def _plain(record: Any) -> dict[str, Any]:
    return {
        name: field.to_json(getattr(record, name))
        for name, field in _FIELDS[type(record)].items()
    }


def _restore(kind: type[Any], body: Any) -> Any:
    if not isinstance(body, dict):
        raise TypeError(f"{kind.__name__} must be an object")
    fields = _FIELDS[kind]
    if unknown := body.keys() - fields.keys():
        raise TypeError(f"unknown fields {sorted(unknown)}")
    return kind(**{key: fields[key].from_json(key, body[key]) for key in body})


def _register(kind: type[Any]) -> None:
    """Add the fields of a record, and of the records in it, to `_FIELDS`.

    Raises:
        TypeError: If it is not known how JSON holds one of them.
    """
    hints = get_type_hints(kind)
    _FIELDS[kind] = {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        item: Any = get_args(hint)[0] if get_origin(hint) is tuple else None
        is_record = dataclasses.is_dataclass(item)
        if is_record:
            _register(item)
        _FIELDS[kind][field.name] = _Field(
            declared=str(field.type),
            json_types=_json_types(hint),
            item_type=item if is_record else None,
            choices=get_args(hint) if get_origin(hint) is Literal else (),
        )


def _json_types(hint: Any) -> tuple[type[Any], ...]:
    """What JSON gives for an annotation.

    Raises:
        TypeError: If that is not known.
    """
    if hint is float:
        return (float, int)
    if hint in {bool, int, str, types.NoneType}:
        return (hint,)
    origin = get_origin(hint)
    if origin is types.UnionType:
        return tuple(kind for part in get_args(hint) for kind in _json_types(part))
    known = {Literal: str, Mapping: dict, tuple: list}
    if origin not in known:
        raise TypeError(f"it is not known how JSON holds {hint}")
    return (known[origin],)


_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Message)}
_FORKSERVER_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in get_args(ForkserverRequest | ForkserverReport)
}
_RUNNER_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in get_args(RunnerMessage)
}
_FIELDS: dict[type[Any], dict[str, _Field]] = {}
for _kind in (*_KINDS.values(), *_FORKSERVER_KINDS.values()):
    _register(_kind)  # so that an annotation that is not known fails this import
