"""Messages survive the way from one process to the other; garbage does not."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.protocol import codec, messages
from dioptra_worker.protocol.codec import decode, encode
from dioptra_worker.protocol.messages import (
    ArtifactTask,
    InputArtifact,
    Log,
    Message,
    Metric,
    Output,
    Plan,
    RunnerResult,
    SessionReply,
)

TEXT = st.text(st.characters(exclude_categories=[]), max_size=20)
"""Any text that Python can hold, lone surrogates and NULs included."""
NUMBERS = st.floats() | st.integers()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner),
    max_leaves=8,
)
st.register_type_strategy(float, st.floats())


def _of(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind, {**vars(messages), "Mapping": dict})
    fields = {field.name: _value(hints[field.name]) for field in _fields(kind)}
    return st.builds(kind, **fields)


def _fields(kind: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _value(hint: Any) -> st.SearchStrategy[Any]:
    if hint is str:
        return TEXT
    if hint == dict[str, Any]:
        return st.dictionaries(TEXT, JSON, max_size=3)
    if hint == dict[str, str]:
        return st.dictionaries(TEXT, TEXT, max_size=3)
    if get_args(hint)[:1] in {(ArtifactTask,), (InputArtifact,)}:
        return st.lists(_of(get_args(hint)[0]), max_size=2).map(tuple)
    if get_args(hint) == (str, Ellipsis):
        return st.lists(TEXT, max_size=3).map(tuple)
    return st.from_type(hint)


MESSAGES = st.one_of([_of(kind) for kind in get_args(Message)])


@given(MESSAGES)
def test_decode_undoes_encode(message: Message) -> None:
    """Whatever a message holds, NaN and lone surrogates included, it arrives."""
    assert repr(decode(encode(message))) == repr(message)


@given(MESSAGES)
def test_one_message_is_one_line_of_ascii(message: Message) -> None:
    """A message is one line whatever its text, so that lines separate messages."""
    line = encode(message)
    assert line.isascii()
    assert line.index(b"\n") == len(line) - 1


def test_nan_stays_nan() -> None:
    """A number that is none stays one on its way."""
    arrived = decode(encode(Metric(name="loss", value=math.nan, step=None)))
    assert isinstance(arrived, Metric)
    assert isinstance(arrived.value, float)
    assert math.isnan(arrived.value)


def test_nested_records_come_back_as_records() -> None:
    """The artifacts of a plan arrive as records in tuples, not as mappings in lists."""
    task = ArtifactTask(
        name="Csv", package="io", module="csv", plugin_snapshot_id=3, task_id=4
    )
    item = InputArtifact(
        name="data",
        directory="/job/data",
        file_name="data.csv",
        bundle="/job/code",
        package="io",
        module="csv",
        task="Csv",
        outputs=("rows", "columns"),
    )
    plan = Plan(
        job_id=1,
        entrypoint="train",
        config={"graph": {}},
        parameters={},
        artifact_tasks=(task,),
        inputs=(item,),
        plugins="/job/plugins",
        artifact_plugins="/job/writers",
    )
    assert decode(encode(plan)) == plan


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"plain words",
        b'"Log"',
        b"[]",
        b"null",
        b"{}",
        b'{"is":"Unheard"}',
        b'{"is":["Log"]}',
        b'{"is":{}}',
        b'{"is":"Log"}',
        b'{"is":"Log","severity":"INFO","logger":"a","message":"b","more":1}',
        b'{"is":"Log","severity":"INFO","logger":"a","message":7}',
        b'{"is":"Log","severity":"INFO","logger":null,"message":"b"}',
        b'{"is":"Output","stream":"stdout","text":["a"]}',
        b'{"is":"RunStarted","run_id":{}}',
        b'{"is":"Metric","name":"a","value":true,"step":1}',
        b'{"is":"Metric","name":"a","value":1,"step":"1"}',
        b'{"is":"RunnerResult","ending":"failed","reason":"","run_closed":1}',
        b'{"is":"Plan","inputs":3}',
        b'{"is":"Plan","inputs":[3]}',
        b'{"is":"Plan","inputs":["ab"]}',
        b'{"is":"Plan","artifact_tasks":[{"name":"a"}]}',
        b'{"is":"Log","mess',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"is":"Log","severity":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_message_is_a_value_error(line: bytes) -> None:
    """Garbage on the socket is a ValueError and never another exception."""
    with pytest.raises(ValueError, match=r"."):
        decode(line)


@given(st.binary(max_size=60) | JSON.map(lambda body: json.dumps(body).encode()))
def test_any_bytes_are_a_message_or_a_value_error(line: bytes) -> None:
    """No bytes make `decode` raise anything but a ValueError."""
    try:
        message = decode(line)
    except ValueError:
        return
    assert isinstance(message, get_args(Message))


@given(_of(Log) | _of(RunnerResult) | _of(SessionReply) | _of(Output), JSON)
def test_fields_keep_their_types(message: Message, other: object) -> None:
    """A message with a value of another type in a field is refused, or fits it."""
    for field in dataclasses.fields(message):
        body = json.loads(encode(message))
        body[field.name] = other
        try:
            arrived = decode(json.dumps(body).encode())
        except ValueError:
            continue
        before, after = getattr(message, field.name), getattr(arrived, field.name)
        assert type(after) is type(before) or (
            field.name == "error" and isinstance(after, str | None)
        )


def test_a_field_that_json_cannot_hold_is_refused_beforehand() -> None:
    """A record whose field has an annotation that is not known cannot be a message."""

    @dataclasses.dataclass(frozen=True)
    class Photo:
        pixels: bytes

    with pytest.raises(TypeError, match="not known how JSON holds <class 'bytes'>"):
        codec._register(Photo)
