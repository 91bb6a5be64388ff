"""A queue entry is read without loading code, or refused with the reason in words."""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any

import pytest
import redis
from rq.job import Job

from dioptra_worker.broker.rq.payload import (
    DEFAULT_TIME_LIMIT,
    FUNCTION,
    LARGEST_ID,
    PlainSerializer,
    read_request,
)
from dioptra_worker.errors import PayloadError

KWARGS = {"job_id": 7, "experiment_id": 3}


class Loaded:
    """Unpickling one of these runs code."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def _job(
    kwargs: Any = KWARGS,
    *,
    function: Any = FUNCTION,
    args: Any = (),
    instance: Any = None,
    data: bytes | None = None,
    timeout: Any = None,
) -> Job:
    """A queue entry as RQ fetches it; nothing is asked of Redis."""
    job = Job(id="7", connection=redis.Redis(port=9), serializer=PlainSerializer)
    if data is None:
        data = pickle.dumps((function, instance, args, kwargs))
    job.data = data
    job.timeout = timeout
    return job


def _refusal(job: Job) -> str:
    with pytest.raises(PayloadError) as caught:
        read_request(job, worker="w")
    return str(caught.value)


def test_a_dioptra_job_is_read() -> None:
    """What the platform enqueues becomes an order."""
    order = read_request(_job(timeout=60), worker="w")
    assert (order.job_id, order.experiment_id, order.time_limit, order.worker) == (
        (7, 3, 60.0, "w")
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol_is_read(protocol: int) -> None:
    """Whichever protocol the platform's Python pickles with, the entry is read."""
    data = pickle.dumps((FUNCTION, None, (), KWARGS), protocol=protocol)
    assert read_request(_job(data=data), worker="w").job_id == 7


@pytest.mark.parametrize("place", ["job_id", "extra", "args", "function"])
def test_code_in_the_pickle_is_not_run(
    place: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pickle that would import and call something is refused before it does."""
    (tmp_path / "never_imported.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    ran = tmp_path / "ran"
    bad = Loaded(os.mkdir, str(ran))
    jobs = {
        "job_id": lambda: _job({**KWARGS, "job_id": bad}),
        "extra": lambda: _job({**KWARGS, "extra": bad}),
        "args": lambda: _job(args=(bad,)),
        "function": lambda: _job(function=bad),
    }
    assert f"refers to '{os.mkdir.__module__}.mkdir'" in _refusal(jobs[place]())
    assert not ran.exists()
    data = b"cnever_imported\nthing\n."
    assert "'never_imported.thing'" in _refusal(_job(data=data))
    assert "never_imported" not in sys.modules


def test_even_harmless_globals_are_refused() -> None:
    """No class at all may be named: an entry holds plain values only."""
    assert "'builtins.set'" in _refusal(_job(data=b"cbuiltins\nset\n."))


def test_a_name_that_is_no_text_is_shown_escaped() -> None:
    """A global with a lone surrogate in its name is refused in words that UTF-8 has."""
    name = b"\x8c\x03\xed\xb2\x80"  # SHORT_BINUNICODE of U+DC80
    words = _refusal(_job(data=b"\x80\x04" + name + name + b"\x93."))
    assert words.encode()
    assert "\\udc80.\\udc80" in words


@pytest.mark.parametrize(
    "function", ["os.system", FUNCTION + "x", "", None, 5, "a" * 10_000]
)
def test_other_functions_are_refused(function: object) -> None:
    """Only the platform's own function may be called, and the message is short."""
    words = _refusal(_job(function=function))
    assert FUNCTION in words
    assert len(words) < 400


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, LARGEST_ID + 1, True, 1.0, "7", None, [7], {"a": 1}, b"7"),
        pytest.param(10**5000, id="huge"),
    ],
)
@pytest.mark.parametrize("name", ["job_id", "experiment_id"])
def test_other_identifiers_are_refused(name: str, value: object) -> None:
    """An id that is no positive whole number of 63 bits is refused by its name."""
    words = _refusal(_job({**KWARGS, name: value}))
    assert words.startswith(f"{name} must be a positive whole number, not ")
    assert len(words) < 400


def test_largest_identifier_is_taken() -> None:
    """The largest id of the platform's database is an id."""
    order = read_request(_job({**KWARGS, "job_id": LARGEST_ID}), worker="w")
    assert order.job_id == LARGEST_ID


@pytest.mark.parametrize(
    "job",
    [
        lambda: _job(args=(7,)),
        lambda: _job(args=(10**5000,)),
        lambda: _job(instance="something"),
        lambda: _job({}),
        lambda: _job({"job_id": 7}),
        lambda: _job({**KWARGS, "more": 1}),
        lambda: _job({**KWARGS, "more": "x" * 100_000}),
        lambda: _job({**KWARGS, "more": 10**5000}),
    ],
)
def test_other_arguments_are_refused(job: Any) -> None:
    """The two keywords and nothing else may be given, and the message is short."""
    words = _refusal(job())
    assert words.startswith("it must have the keywords job_id and experiment_id")
    assert len(words) < 600


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        b".",
        b"\x80\x05",
        pickle.dumps(5),
        pickle.dumps((FUNCTION, None, ())),
        pickle.dumps((FUNCTION, None, (), 5)),
        pickle.dumps((FUNCTION, None, (), [[1]])),
        pickle.dumps((FUNCTION, None, 5, KWARGS)),
        b"\x80\x04" + b"\x8c\x01a" * 3 + b"\x87.",
        b"(" * 1000 + b".",
    ],
)
def test_what_cannot_be_unpickled_is_refused(data: bytes) -> None:
    """Whatever is wrong with the pickle, the entry is refused and nothing else."""
    assert _refusal(_job(data=data))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, DEFAULT_TIME_LIMIT),
        (-1, None),
        (1, 1.0),
        (10**15, 1e15),
        (10**400, 2.0**63),
    ],
)
def test_timeouts(given: float | None, expected: float | None) -> None:
    """RQ's -1 is no limit, nothing is the platform's 24 hours, else it is seconds."""
    assert read_request(_job(timeout=given), worker="w").time_limit == expected
