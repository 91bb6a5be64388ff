"""MLflow, or who has taken its place, answers what is no run: it is told in a sentence.

No such answer is a traceback in a job's log, a run that is none, or a file where nobody
wanted one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.hostile_server import Conversation, hostile_server

from dioptra_worker.errors import ServiceRefused, ServiceUnavailable
from dioptra_worker.tracking.artifact_store import store
from dioptra_worker.tracking.mlflow import active_run, system_metrics
from dioptra_worker.tracking.mlflow.run import MlflowTracking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = "0123456789abcdef0123456789abcdef"
TOKEN = "fedcba9876543210fedcba9876543210"
METRICS_SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"


@contextlib.contextmanager
def _mlflow(
    answer: bytes, monkeypatch: pytest.MonkeyPatch, status: str = "200 OK"
) -> Iterator[MlflowTracking]:
    """A client of a server that gives every call the same answer."""

    def act(them: Conversation) -> None:
        them.answer(answer, "Content-Type: application/json", status=status)

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.delenv(active_run.VARIABLE, raising=False)
    with hostile_server(act) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        try:
            yield MlflowTracking()
        finally:
            active_run.forget()


def _run(**info: Any) -> bytes:
    given = {"run_id": RUN, "artifact_uri": "s3://bucket/0/x", "status": "RUNNING"}
    return _tagged({"dioptra.runner": TOKEN}, **given | info)


def _tagged(tags: dict[str, str], **info: Any) -> bytes:
    data = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
    return json.dumps({"run": {"info": info, "data": data}}).encode()


NO_RUNS = {
    "nothing": b"",
    "an empty object": b"{}",
    "no run": b'{"run": null}',
    "a list": b"[]",
    "a number for the id": _run(run_id=5),
    "no id": _run(run_id=""),
    "an id that is a path": _run(run_id="../../users"),
    "an id that is a query": _run(run_id="a?b=c"),
    "an id with a control character": _run(run_id="a\0b"),
    "a long id": _run(run_id="x" * 300),
    "a word for a time": _run(start_time="soon"),
    "infinity for a time": _run(start_time=0).replace(b": 0", b": 1e999"),
    "an object for the status": _run(status={"id": None}),
    "a deep object": b'{"run":' * 5000 + b"1" + b"}" * 5000,
}


@pytest.mark.parametrize("answer", NO_RUNS.values(), ids=NO_RUNS)
def test_what_is_no_run_is_asked_for_again(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers in MLflow's place has perhaps gone the next time."""
    with _mlflow(answer, monkeypatch) as tracking:
        for _ in range(2):  # nothing of the first is in the way of the second
            with pytest.raises(ServiceUnavailable, match="did not create a run"):
                tracking.start(7)


PLACES = ["", "../", "relative", "file:relative", "/a/../../b", "s3://b/%2e%2e/c"]
PLACES += ["s3://bucket/a\nb", "s3://" + "b" * 9000, "\\\\host\\share", "s3://[x/y"]


@pytest.mark.parametrize("uri", PLACES, ids=lambda uri: repr(uri[:20]))
def test_artifacts_have_a_place(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An artifact is written nowhere else on this machine, and to no other folder."""
    with (
        _mlflow(_run(artifact_uri=uri), monkeypatch) as tracking,
        pytest.raises(ServiceRefused, match="is no place for a run's artifacts"),
    ):
        tracking.start(7, TOKEN)


OTHERS = {
    "another job's": {"dioptra.runner": "0" * 32, "dioptra.jobId": "6"},
    "a person's": {"mlflow.user": "ada"},
    "of nobody": {},
}


@pytest.mark.parametrize("tags", OTHERS.values(), ids=OTHERS)
def test_another_s_run_is_refused_at_once(
    tags: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job's results are not written to another's run, and no time is lost."""
    answer = _tagged(tags, run_id=RUN, artifact_uri="s3://b/0/x", status="RUNNING")
    whose = "job 6" if "dioptra.jobId" in tags else "somebody else"
    with (
        _mlflow(answer, monkeypatch) as tracking,
        pytest.raises(ServiceRefused, match=f"which is of {whose} and not the one"),
    ):
        tracking.start(7, TOKEN)
    assert active_run.VARIABLE not in os.environ


def test_a_run_may_be_told_without_its_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not repeat them is asked for the run."""
    info = {"run_id": RUN, "artifact_uri": "s3://b/0/x", "status": "RUNNING"}
    answers = {"POST": _tagged({}, **info), "GET": _run()}

    def act(them: Conversation) -> None:
        body = answers[them.head.partition(" ")[0]]
        them.answer(body, "Content-Type: application/json")

    with hostile_server(act) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        monkeypatch.delenv(active_run.VARIABLE, raising=False)
        try:
            assert MlflowTracking().start(7, TOKEN) == (RUN, "s3://b/0/x")
        finally:
            active_run.forget()


PARTS = {
    "another status": b'{"run_info": {"status": -1}}',
    "a list for the id": b'{"run_info": {"run_id": [null]}}',
    "a list": b"[[]]",
}


@pytest.mark.parametrize("answer", PARTS.values(), ids=PARTS)
def test_what_is_no_answer_costs_a_line(
    answer: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The job goes on, and no thread of the worker ends with a traceback."""
    thrown: list[object] = []
    monkeypatch.setattr(threading, "excepthook", thrown.append)
    with _mlflow(answer, monkeypatch) as tracking, caplog.at_level(logging.WARNING):
        tracking.describe(RUN, name="n", params={"a": 1}, tags={"b": "c"})
        with pytest.raises(ServiceUnavailable, match=f"did not close run {RUN}"):
            tracking.close(RUN, "FINISHED")
    assert thrown == []
    assert "MLflow did not take the run's name" in caplog.text
    assert "Traceback" not in caplog.text


def test_runs_that_are_none_are_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are looked for again later when the list of them is none."""
    answer = b'{"experiments": [{"experiment_id": 5}]}'
    with (
        _mlflow(answer, monkeypatch) as tracking,
        pytest.raises(ServiceUnavailable, match="JSON of another shape"),
    ):
        tracking.close_begun("token", "FAILED")


@pytest.mark.parametrize("uri", ["runs:/abc/x", "models:/m/1", "nonsense://x/y"])
def test_a_store_that_cannot_be_reached(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow can name what its own client does not know, or asks MLflow for again."""
    with (
        _mlflow(b'{"message": "no such run"}', monkeypatch, "404 Not Found"),
        pytest.raises(ServiceRefused, match="knows no way to"),
    ):
        store(uri)


def test_metrics_of_the_system_without_their_package(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing psutil is told once, and the job has its run; so has a task's own."""
    monkeypatch.setattr(importlib.util, "find_spec", _without("psutil"))
    monkeypatch.setenv(METRICS_SWITCH, "true")
    with _mlflow(_run(), monkeypatch) as tracking:
        assert tracking.start(7, TOKEN) == (RUN, "s3://bucket/0/x")
    (record,) = [each for each in caplog.records if "psutil" in each.getMessage()]
    assert "install dioptra-worker[system-metrics]" in record.getMessage()
    assert system_metrics.missing_package() is None  # it is off by now


VARIABLES = {
    METRICS_SWITCH: ("perhaps", METRICS_SWITCH),
    "MLFLOW_TRACKING_AWS_SIGV4": ("true", "requests_auth_aws_sigv4"),
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": ("slow", "MLFLOW_HTTP_REQUEST_BACKOFF"),
}


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_cannot_be_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong here and not there is no outage that somebody waits for."""
    value, words = VARIABLES[name]
    monkeypatch.setenv(name, value)
    with (
        _mlflow(_run(), monkeypatch) as tracking,
        pytest.raises(ServiceRefused, match=words),
    ):
        tracking.start(7, TOKEN)


def _without(package: str) -> Callable[..., Any]:
    find_spec = importlib.util.find_spec

    def find(name: str, *more: Any) -> Any:
        return None if name == package else find_spec(name, *more)

    return find
