"""What a runner says, on its way to the outbox."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.unit.api.scripted import Answer, Request, ScriptedApi
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, GROUP, JOB, SimulatedApi

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.broker.job_request import JobRequest
from dioptra_worker.common.masking import Mask
from dioptra_worker.common.outcome import Outcome
from dioptra_worker.daemon.health.probes import why_not_ready
from dioptra_worker.daemon.job.context import Services
from dioptra_worker.daemon.job.runner_events import RunnerEvents
from dioptra_worker.daemon.outbox.outbox import Address, Outbox
from dioptra_worker.protocol.messages import (
    ArtifactStored,
    Log,
    Message,
    Metric,
    RunStarted,
    ServiceState,
    SessionReply,
    SessionRequest,
    StepStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.supervision.termination import StopRequest

SOON = 20.0
SECRET = "correct-horse"


@dataclass
class Ear:
    """A supervisor that keeps what it is told."""

    heard: list[Message] = field(default_factory=list)
    limits: list[tuple[float | None, str]] = field(default_factory=list)
    stops: list[StopRequest] = field(default_factory=list)

    def send(self, message: Message) -> None:
        """Keep."""
        self.heard.append(message)

    def stop(self, stop: StopRequest) -> None:
        """Keep."""
        self.stops.append(stop)

    def set_deadline(self, seconds: float | None, stop: StopRequest) -> None:
        """Keep."""
        self.limits.append((seconds, stop.reason))


@contextmanager
def _events(
    api: SimulatedApi, *, client: DioptraApi | None = None, timeout: float | None = 60
) -> Iterator[RunnerEvents]:
    """Events whose outbox is delivered when the block ends."""
    nothing = cast("Any", None)
    services = Services(
        api=client or nothing,
        launcher=nothing,
        leases=nothing,
        settings=nothing,
        mask=Mask([SECRET]),
        cache=nothing,
    )
    order = JobRequest(
        job_id=JOB, experiment_id=EXPERIMENT, timeout=timeout, worker="me"
    )
    events = RunnerEvents(order, services, supervisor=Ear())
    with Outbox(
        api,
        Address(job_id=JOB, experiment_id=EXPERIMENT),
        group_id=lambda: GROUP,
        say=events.say,
        on_gone=lambda: None,
        pace=0.001,
    ) as outbox:
        events.outbox = outbox
        yield events
        assert outbox.finish(None, SOON)


def test_lines() -> None:
    """Records and lines of both streams become log records with a severity."""
    api = SimulatedApi()
    with _events(api) as events:
        events.message(Log(severity="ERROR", logger="mine", message="a record"))
        events.line("stdout", "an output")
        events.line("stderr", "an error")
        events.say("WARNING", "the worker's own")
    found = [(record.severity, record.logger) for record in api.log]
    assert found == [
        ("ERROR", "mine"),
        ("INFO", "stdout"),
        ("WARNING", "stderr"),
        ("WARNING", "dioptra_worker"),
    ]
    assert api.messages() == ["a record", "an output", "an error", "the worker's own"]


def test_stamps() -> None:
    """Each record begins with the time in UTC, later than that of the one before."""
    api = SimulatedApi()
    before = dt.datetime.now(dt.UTC)
    with _events(api) as events:
        for _ in range(200):
            events.line("stdout", "the same")
    stamps = [
        dt.datetime.fromisoformat(record.message.partition(" ")[0])
        for record in api.log
    ]
    assert all(earlier < later for earlier, later in itertools.pairwise(stamps))
    assert before <= stamps[0]
    assert stamps[-1] - before < dt.timedelta(seconds=SOON)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (f"the password is {SECRET}!", "the password is ***!"),
        ("a lone \udcff surrogate", "a lone \\udcff surrogate"),
        ("a\0b", "a\\x00b"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("ö 漢 🙂 \x1b[31mred\x1b[0m", "ö 漢 🙂 \x1b[31mred\x1b[0m"),
        ("", ""),
        ("<module> & <lambda>", "<module> & <lambda>"),
    ],
)
def test_text(text: str, sent: str) -> None:
    """Secrets are hidden, and what the API cannot hold is written out."""
    api = SimulatedApi()
    with _events(api) as events:
        events.line("stdout", text)
        events.message(Log(severity="INFO", logger=text, message=text))
        events.say("INFO", text)
    assert api.messages() == [sent] * 3
    assert api.log[1].logger == sent
    for record in api.log:
        record.message.encode()
        record.logger.encode()


def test_results() -> None:
    """Metrics, artifacts and the MLflow run reach the API."""
    api = SimulatedApi()
    with _events(api) as events:
        events.message(RunStarted(run_id="abc"))
        events.message(
            StepStarted(step="one", task="train", index=1, total=2)
        )  # for the supervisor only
        events.message(Metric(name="loss", value=0.5, step=3))
        events.message(
            ArtifactStored(name="m", uri="s3://b/m", plugin_snapshot_id=1, task_id=2)
        )
    assert (api.run_id, api.artifacts) == ("abc", ["s3://b/m"])
    assert api.metrics == {("loss", 3): 0.5}
    assert api.log == []


@pytest.mark.parametrize("first", ["runner", "plan"])
def test_limit(first: str) -> None:
    """The job's clock starts once when both its runner and its plan are there."""
    with _events(SimulatedApi()) as events:
        ear = cast("Ear", events.supervisor)
        if first == "runner":
            events.message(RunStarted(run_id="abc"))
            assert ear.limits == []
            events.planned = True
            events.begin_limit()
        else:
            events.planned = True
            events.begin_limit()
            assert ear.limits == []
            events.message(RunStarted(run_id="abc"))
    ((seconds, words),) = ear.limits
    assert seconds == 60
    assert words.startswith("timed out after its limit of 1 min")


@pytest.mark.parametrize(
    ("verdict", "severity", "words"),
    [
        (Outcome(fate="finished", reason="", mlflow="FINISHED"), "INFO", "finished"),
        (
            Outcome(fate="failed", reason="it broke", mlflow="FAILED"),
            "ERROR",
            "failed: it broke",
        ),
        (
            Outcome(fate="stopped", reason="by request", mlflow="KILLED"),
            "ERROR",
            "was stopped: by request",
        ),
    ],
)
def test_conclusion(verdict: Outcome, severity: str, words: str) -> None:
    """The log ends with how the job ended, in words."""
    api = SimulatedApi()
    with _events(api) as events:
        events.conclude(verdict)
    assert api.messages() == [f"the job {words}"]
    assert api.log[0].severity == severity


def _login(request: Request) -> Answer:
    assert request.what == "POST auth/login"
    return Answer(headers={"Set-Cookie": "session=abc; Path=/"})


@pytest.mark.parametrize("renew", [False, True])
def test_session(renew: bool) -> None:
    """A runner that asks is given the session's cookies, renewed if it wants."""
    with (
        ScriptedApi(_login).running() as server,
        DioptraApi(url=server.url, username="worker", password=SECRET) as client,
        _events(SimulatedApi(), client=client) as events,
    ):
        client.login()
        events.message(SessionRequest(request_id=5, renew=renew))
        answer = _heard(events)
        assert server.asked == ["POST auth/login"] * (2 if renew else 1)
    assert answer == SessionReply(
        request_id=5, url=client.url, cookies={"session": "abc"}
    )


def test_no_session() -> None:
    """A runner is told why it gets no session."""
    with (
        ScriptedApi(lambda _: Answer(status=503)).running() as server,
        DioptraApi(url=server.url, username="worker", password=SECRET) as client,
        _events(SimulatedApi(), client=client) as events,
    ):
        events.message(SessionRequest(request_id=5, renew=True))
        answer = _heard(events)
    assert isinstance(answer, SessionReply)
    assert answer.cookies == {}
    assert answer.error is not None
    assert "503" in answer.error
    assert SECRET not in answer.error


def _heard(events: RunnerEvents) -> Message:
    ear = cast("Ear", events.supervisor)
    deadline = time.monotonic() + SOON
    while not ear.heard:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return ear.heard[0]


def test_runner_waits() -> None:
    """What a runner waits for shows in the daemon's health until the job is over."""
    with _events(SimulatedApi()) as events:
        health = events.services.health
        health.job_started(JOB)
        for service in ("MLflow", "the artifact store"):
            events.message(ServiceState(service=service, away=True))
        assert health.snapshot().waiting_for == ("MLflow", "the artifact store")
        assert why_not_ready(health.snapshot()) == [
            "the worker is starting: it is not logged in and registered yet"
        ]
        events.message(ServiceState(service="MLflow", away=False))
        assert health.snapshot().waiting_for == ("the artifact store",)
        health.job_over()
        assert health.snapshot().waiting_for == ()
