"""Whatever comes over a runner's socket: no error, little memory, nothing of others.

More examples: ``pytest tests/unit/supervision/test_hostile_messages.py
--hypothesis-profile=fuzz``.
"""

from __future__ import annotations

import json
import math
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.protocol.codec import encode
from dioptra_worker.protocol.messages import (
    MAX_IMPORTS,
    BatchClaimRequest,
    DirectMetric,
    JobFact,
    Log,
    Message,
    Metric,
    ModuleImported,
    OutputFile,
    RunnerMessage,
    RunnerResult,
    RunStarted,
    ServiceState,
    SessionReply,
    Start,
    StepStarted,
)
from dioptra_worker.supervision.channel import message_limits, runner_output
from dioptra_worker.supervision.channel.runner_output import RunnerOutput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dioptra_worker.protocol.messages import OutputStream

SHA = "a" * 64
CHUNK = 1 << 14
"""Bytes that any socket takes at once, and one reading gives back."""
RUN = RunStarted(run_id="a" * 32, artifact_uri="s3://b/a")
WORDS = st.sampled_from(
    ["", "started", "INFO", "stdout", "finished", "MLflow", "a", "\udcff", "é" * 300]
)
VALUES = (
    WORDS
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.lists(st.integers(), max_size=2)
)
FIELDS = sorted(
    {name for kind in get_args(Message) for name in kind.__dataclass_fields__}
)


def _written(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


FORGED = st.builds(
    lambda kind, fields: _written({"is": kind, **fields}),
    st.sampled_from([kind.__name__ for kind in get_args(Message)] + ["Other", ""]),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5),
)


def _valid(kind: type[Any]) -> st.SearchStrategy[bytes]:
    return st.from_type(kind).map(lambda message: encode(message)[:-1])


FRAMES = st.one_of(
    st.binary(max_size=100), FORGED, *map(_valid, get_args(RunnerMessage))
)


@dataclass
class Ear:
    """Keeps what is believed, and why the rest is not."""

    messages: list[RunnerMessage] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def message(self, message: RunnerMessage) -> None:
        """A message."""
        self.messages.append(message)

    def refused(self, words: str) -> None:
        """A message is ignored."""
        self.refusals.append(words)

    def line(self, stream: OutputStream, text: str) -> None:
        """A line."""
        assert stream in {"stdout", "stderr"}
        self.lines.append(text)


def _read(frames: Iterable[bytes]) -> tuple[RunnerOutput, Ear]:
    ear = Ear()
    output = RunnerOutput(ear)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        written = b"".join(frame + b"\n" for frame in frames)
        for start in range(0, len(written), CHUNK):
            theirs.sendall(written[start : start + CHUNK])
            output.read_messages(ours)
    output.finish()
    return output, ear


@given(st.lists(FRAMES, max_size=30))
def test_whatever_comes(frames: list[bytes]) -> None:
    """Arbitrary bytes and arbitrary messages, in any order."""
    output, ear = _read([encode(RUN)[:-1], *frames])
    assert [it for it in ear.messages if isinstance(it, RunStarted)] == [RUN]
    assert len([it for it in ear.messages if isinstance(it, RunnerResult)]) <= 1
    assert output.over_limit is None
    for message in ear.messages:
        assert type(message) in get_args(RunnerMessage)
        assert all(_is_harmless(value) for value in vars(message).values())
    assert all(len(words.encode()) < 1000 for words in ear.refusals)
    "".join(ear.lines).encode()  # no lone surrogates


def _is_harmless(value: object) -> bool:
    if isinstance(value, str):
        return len(value.encode()) <= message_limits.MAX_REASON
    return value is None or (isinstance(value, int | float) and math.isfinite(value))


@pytest.mark.parametrize(
    "forged",
    [
        RunStarted(run_id="b" * 32),
        RunStarted(run_id="../../b"),
        ServiceState(service="the daemon", away=True),
        Metric(name="no name", value=1.0, step=None),
        Metric(name="_", value=1.0, step=None),
        Metric(name="a" * 251, value=1.0, step=None),
        Metric(name="loss\n\n", value=1.0, step=None),
        Metric(name="loss", value="many", step=None),
        ModuleImported(module="os.path; import x", seconds=1.0),
        ModuleImported(module="", seconds=1.0),
        ModuleImported(module="a" * 201, seconds=1.0),
        ModuleImported(module="numpy", seconds=-1.0),
        OutputFile(artifact="a", path="b", size=1, sha256="no digest"),
        OutputFile(artifact="a", path="b", size=-1, sha256="a" * 64),
        OutputFile(artifact="a", path="b" * 4097, size=1, sha256="a" * 64),
        OutputFile(artifact="a", path="b", size=1, sha256="a" * 64, etag="<b>"),
        DirectMetric(name="loss", points=-1),
    ],
)
def test_what_is_not_the_jobs_own_is_ignored(forged: RunnerMessage) -> None:
    """What is no message of a runner changes nothing, and is told."""
    _, ear = _read([encode(RUN)[:-1], encode(forged)[:-1]])
    assert ear.messages == [RUN]
    assert len(ear.refusals) == 1


@pytest.mark.parametrize(
    "line",
    [
        encode(Start(job_id=1, directory="", api_url="", log_level="", grace=1.0)),
        encode(SessionReply(request_id=1, url="", cookies={})),
        b'{"is":"Metric","name":"loss","value":1.0,"step":9223372036854775808}\n',
        b'{"is":"Metric","name":"loss","value":NaN,"step":1}\n',
        b'{"is":"Log","severity":"LOUD","logger":"a","message":"b"}\n',
        b'{"is":"RunnerResult","ending":"won","reason":"","run_closed":true}\n',
        b'{"is":"Log","severity":"INFO","logger":"a","message":[[[[]]]]}\n',
    ],
)
def test_what_is_no_message_of_a_runner_is_text(line: bytes) -> None:
    """What only the daemon says, and what is no message at all, is shown as written."""
    _, ear = _read([line[:-1]])
    assert ear.messages == []
    assert ear.lines == [line[:-1].decode()]


def test_a_job_ends_once() -> None:
    """The first end is the job's, whatever is said after it."""
    ends = [
        RunnerResult(ending="failed", reason="x" * 1_000_000, run_closed=False),
        RunnerResult(ending="finished", reason="", run_closed=True),
    ]
    output, _ = _read([encode(end)[:-1] for end in ends])
    assert output.result is not None
    assert output.result.ending == "failed"
    assert len(output.result.reason) == message_limits.MAX_REASON


def test_imports_are_few_and_take_no_longer_than_any_does() -> None:
    """Of a job's imports so many are heard as a runner tells, and no years of them."""
    forged = [ModuleImported(module=f"m{n}", seconds=1e300) for n in range(80)]
    _, ear = _read([encode(each)[:-1] for each in forged])
    most = 2 * MAX_IMPORTS  # those it waited for, and those it did not
    assert len(ear.messages) == most
    assert {
        message.seconds
        for message in ear.messages
        if isinstance(message, ModuleImported)
    } == {message_limits.LONGEST_IMPORT}
    assert len(ear.refusals) == len(forged) - most


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("MAX_FACTS", JobFact(kind="variable", name="A", value="x" * 100_000)),
        ("MAX_DIRECT_METRICS", DirectMetric(name="a", points=1)),
        ("MAX_OUTPUT_FILES", OutputFile(artifact="a", path="b", size=1, sha256=SHA)),
    ],
)
def test_what_a_manifest_takes_of_a_job_has_limits(
    limit: str, message: RunnerMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each so many are kept, and none fails the job."""
    monkeypatch.setattr(message_limits, limit, 3)
    output, ear = _read([encode(message)[:-1]] * 10)
    assert len(ear.messages) == 3
    assert output.over_limit is None
    kept = ear.messages[0]
    assert not isinstance(kept, JobFact) or len(kept.value) == message_limits.MAX_FACT


def test_long_names_are_cut() -> None:
    """Names of loggers and steps are for people, and no longer than any need be."""
    log = Log(severity="INFO", logger="x" * 100_000, message="")
    step = StepStarted(step="x" * 100_000, task="", index=1, total=1)
    output, ear = _read([encode(log)[:-1], encode(step)[:-1]])
    assert isinstance(ear.messages[0], Log)
    assert len(ear.messages[0].logger) == message_limits.MAX_NAME
    assert output.step is not None
    assert len(output.step) == message_limits.MAX_NAME


@pytest.mark.parametrize(
    ("limit", "value", "message", "words"),
    [
        ("MAX_METRICS", 3, Metric(name="a", value=1.0, step=0), "metrics"),
        ("MAX_REFUSALS", 3, ServiceState(service="x", away=True), "not its own"),
        (
            "MAX_BATCH_TEXT",
            30,
            BatchClaimRequest(request_id=1, element="x" * 10, state="started"),
            "elements of its batch",
        ),
        (
            "MAX_ELEMENT",
            3,
            BatchClaimRequest(request_id=1, element="x" * 4, state="started"),
            "the id of a batch element has 4",
        ),
    ],
)
def test_limits(
    limit: str,
    value: int,
    message: RunnerMessage,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a job takes too much of is said, and nothing of it is passed on then."""
    monkeypatch.setattr(message_limits, limit, value)
    output, ear = _read([encode(message)[:-1]] * 10)
    assert output.over_limit is not None
    assert words in output.over_limit
    assert len(ear.messages) <= 3


def test_refusals_are_told_some_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of what is ignored is no flood of lines."""
    monkeypatch.setattr(runner_output, "MAX_REFUSALS_TOLD", 2)
    forged = encode(ServiceState(service="x", away=True))[:-1]
    output, ear = _read([forged] * 10)
    assert len(ear.refusals) == 2
    assert output.over_limit is None
