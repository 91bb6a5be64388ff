"""What a runner says, on its way to the outbox."""

from __future__ import annotations

import datetime as dt
import itertools
import queue
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.unit.api.scripted import Answer, Request, ScriptedApi
from tests.unit.daemon.job.simulated_platform import Leases
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, GROUP, JOB, SimulatedApi

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.common.outcome import Outcome
from dioptra_worker.common.stop import JobStop
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.common.text.printable import spelt_out
from dioptra_worker.daemon.health.probes import why_not_ready
from dioptra_worker.daemon.health.state import HealthState
from dioptra_worker.daemon.job.completion import Completion
from dioptra_worker.daemon.job.context import AttemptContext
from dioptra_worker.daemon.job.manifest import Sealing
from dioptra_worker.daemon.job.preparation import Prepared
from dioptra_worker.daemon.job.running.events import RunnerEvents
from dioptra_worker.daemon.job.running.requests import BatchClaimHandler, SessionHandler
from dioptra_worker.daemon.outbox.job_log import JobLog
from dioptra_worker.daemon.outbox.outbox import Outbox
from dioptra_worker.protocol.messages import (
    ArtifactStored,
    ArtifactTask,
    BatchClaimReply,
    BatchClaimRequest,
    Log,
    Message,
    Metric,
    Plan,
    RunStarted,
    ServiceState,
    SessionReply,
    SessionRequest,
    StepEnded,
    StepStarted,
)
from dioptra_worker.supervision.channel.message_limits import LimitReached, NotBelieved
from dioptra_worker.supervision.record.chains import LogChain
from dioptra_worker.supervision.record.job_record import JobRecord
from dioptra_worker.supervision.time_limit import JobClock, SetupDeadline

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON = 20.0
SECRET = "correct-horse"


@dataclass
class Scene:
    """What events are routed between, and what the runner is told.

    Attributes:
        events: Routes what the runner says.
        job_log: The job's log.
        completion: Ends the job.
        clock: The job's clock.
        health: The daemon's health.
        prepared: What the runner is given.
        answers: What the runner is told.
    """

    events: RunnerEvents
    job_log: JobLog
    completion: Completion
    clock: JobClock
    health: HealthState
    prepared: Future[Prepared]
    answers: queue.SimpleQueue[Message]


@contextmanager
def scene_of(
    api: SimulatedApi, *, client: DioptraApi | None = None, timeout: float | None = 60
) -> Iterator[Scene]:
    """Events whose outbox is delivered when the block ends."""
    nothing = cast("Any", None)
    health = HealthState()
    context = AttemptContext(
        api=cast("Any", client or api),
        launcher=nothing,
        leases=cast("Any", Leases()),
        settings=nothing,
        mask=Mask([SECRET]),
        cache=nothing,
        health=health,
    )
    request = JobRequest(
        job_id=JOB, experiment_id=EXPERIMENT, time_limit=timeout, worker="me"
    )
    answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
    prepared: Future[Prepared] = Future()
    clock = JobClock(SetupDeadline(300.0), limit=timeout)
    stop = JobStop()
    job_log = JobLog(api, JOB, mask=context.mask, stop=stop, pace=0.001)
    outbox = Outbox(
        api,
        job_log,
        job_id=JOB,
        experiment_id=EXPERIMENT,
        stop=stop,
        pace=0.001,
    )
    claims = BatchClaimHandler(
        context.leases, answers.put, job_id=JOB, job_log=job_log, prepared=prepared
    )
    sessions = SessionHandler(context.api, answers.put, mask=context.mask)
    record = JobRecord()
    events = RunnerEvents(
        job_log=job_log,
        outbox=outbox,
        clock=clock,
        health=health,
        prepared=prepared,
        mask=context.mask,
        record=record,
        handlers={
            SessionRequest: sessions.handle,
            BatchClaimRequest: claims.handle,
        },
    )
    sealing = Sealing(request, context, record, LogChain(worker="me", attempt=1))
    completion = Completion(request, context, stop, None, job_log, outbox, sealing)
    with job_log, outbox:
        yield Scene(events, job_log, completion, clock, health, prepared, answers)
        sessions.close()
        outbox.release_artifacts()
        assert outbox.finish(None, SOON)


def test_lines() -> None:
    """Records and lines of both streams become log records with a severity."""
    api = SimulatedApi()
    with scene_of(api) as scene:
        scene.events.message(Log(severity="ERROR", logger="mine", message="a record"))
        scene.events.line("stdout", "an output")
        scene.events.line("stderr", "an error")
        scene.job_log.say("WARNING", "the worker's own")
    found = [(record.severity, record.logger) for record in api.log]
    assert found == [
        ("ERROR", "mine"),
        ("INFO", "stdout"),
        ("WARNING", "stderr"),
        ("WARNING", "dioptra_worker"),
    ]
    assert api.messages() == ["a record", "an output", "an error", "the worker's own"]


@pytest.mark.parametrize(
    "logger",
    [
        *("dioptra_worker", "dioptra_worker.job", "dioptra_worker\u200b"),
        *(
            " dioptra_worker",
            "DIOPTRA_WORKER",
            "\uff44ioptra_worker",
            "dioptra_worker ",
        ),
    ],
)
def test_nobody_speaks_with_the_workers_voice(logger: str) -> None:
    """Records of the job's process never have the worker's name, whatever they say."""
    api = SimulatedApi()
    with scene_of(api) as scene:
        words = "the job finished"
        scene.events.message(Log(severity="INFO", logger=logger, message=words))
        scene.job_log.say("INFO", words)
    forged, own = api.log
    assert forged.logger.startswith("runner")
    assert own.logger == "dioptra_worker"


PLAN = Plan(
    job_id=JOB,
    entrypoint="e",
    config={
        "tasks": {"act": {}, "watch": {}},
        "graph": {"one": {"act": []}, "two": {"task": "act", "args": []}},
        "artifact_outputs": {"m": {"contents": "$one", "task": {"name": "Model"}}},
    },
    parameters={},
    artifact_tasks=(
        ArtifactTask(
            name="Model", package="p", module="m", plugin_snapshot_id=1, task_id=2
        ),
    ),
    inputs=(),
    plugins="",
    artifact_plugins="",
)
STORED = ArtifactStored(name="m", uri="s3://b/abc/m", plugin_snapshot_id=1, task_id=2)


def test_steps() -> None:
    """The worker says of each step that the graph has that it begins and ends."""
    api = SimulatedApi()
    with scene_of(api) as scene:
        scene.prepared.set_result(Prepared(plan=PLAN, worker_run="", group_id=GROUP))
        for index, step in enumerate(("one", "two"), start=1):
            scene.events.message(
                StepStarted(step=step, task="act", index=index, total=2)
            )
            scene.events.message(StepEnded(step=step, seconds=99.0))
    assert {record.logger for record in api.log} == {"dioptra_worker.job"}
    begins, ends = api.messages()[:2]
    assert begins == "step 1 of 2: 'one' runs task 'act'"
    assert ends == "step 'one' finished in 0.00 s"
    assert len(api.log) == 4


@pytest.mark.parametrize(
    "forged",
    [
        StepStarted(step="other", task="act", index=1, total=2),
        StepStarted(step="one", task="other", index=1, total=2),
        StepStarted(step="one", task="act", index=1, total=1),
        StepStarted(step="one", task="act", index=3, total=2),
        StepStarted(step="one", task="act", index=0, total=2),
        StepStarted(step="one", task="watch", index=1, total=2),
        StepEnded(step="one", seconds=1.0),
    ],
)
def test_the_worker_says_nothing_of_steps_that_are_none(
    forged: StepStarted | StepEnded,
) -> None:
    """What the task graph does not have is not told in the worker's name."""
    api = SimulatedApi()
    with scene_of(api) as scene:
        scene.prepared.set_result(Prepared(plan=PLAN, worker_run="", group_id=GROUP))
        with pytest.raises(NotBelieved):
            scene.events.message(forged)
    assert api.log == []


STEPS = {
    "one": {"act": []},
    "two": {"task": "act", "args": [], "dependencies": ["one"]},
    "three": {"?model": {"?outputs": ["w"], "first": {"act": {"a": 1}}}},
    "four": {"?model": {"second": {"task": "act", "kwargs": {}}}},
}


@pytest.mark.parametrize("lost", ["", "two", "three"])
def test_steps_in_each_spelling(lost: str) -> None:
    """Each is told, with a swap, too; and also after one of which nobody heard."""
    plan = replace(PLAN, config={**PLAN.config, "graph": STEPS})
    api = SimulatedApi()
    with scene_of(api) as scene:
        scene.prepared.set_result(Prepared(plan=plan, worker_run="", group_id=GROUP))
        told = [(at, step) for at, step in enumerate(STEPS, 1) if step != lost]
        for index, step in told:
            scene.events.message(
                StepStarted(step=step, task="act", index=index, total=4)
            )
        with pytest.raises(NotBelieved):  # nothing goes back
            scene.events.message(StepStarted(step="one", task="act", index=2, total=4))
    assert len(api.log) == len(told)


def test_a_step_begins_once() -> None:
    """A step that is said to begin again is not told again."""
    api = SimulatedApi()
    with scene_of(api) as scene:
        scene.prepared.set_result(Prepared(plan=PLAN, worker_run="", group_id=GROUP))
        begins = StepStarted(step="one", task="act", index=1, total=2)
        scene.events.message(begins)
        with pytest.raises(NotBelieved):
            scene.events.message(begins)
    assert len(api.log) == 1


def test_stamps() -> None:
    """Each record begins with the time in UTC, later than that of the one before."""
    api = SimulatedApi()
    before = dt.datetime.now(dt.UTC)
    with scene_of(api) as scene:
        for _ in range(200):
            scene.events.line("stdout", "the same")
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
    with scene_of(api) as scene:
        scene.events.line("stdout", text)
        scene.events.message(Log(severity="INFO", logger=text, message=text))
        scene.job_log.say("INFO", text)
    assert api.messages() == [sent, sent, spelt_out(Mask([SECRET])(text))]
    assert api.log[1].logger == sent
    for record in api.log:
        record.message.encode()
        record.logger.encode()


def test_results() -> None:
    """Metrics, artifacts and the MLflow run reach the API."""
    api = SimulatedApi()
    with scene_of(api) as scene:
        scene.prepared.set_result(Prepared(plan=PLAN, worker_run="", group_id=GROUP))
        scene.events.message(RunStarted(run_id="abc", artifact_uri="s3://b/abc"))
        scene.events.message(Metric(name="loss", value=0.5, step=3))
        scene.events.message(STORED)
    assert (api.run_id, api.artifacts) == ("abc", ["s3://b/abc/m"])
    assert api.metrics == {("loss", 3): 0.5}
    assert api.log == []


def test_limit() -> None:
    """The job's clock starts once when both its runner and its plan are there."""
    with scene_of(SimulatedApi()) as scene:
        scene.clock.is_ready("plan")
        kinds = [scene.clock.stop_request.kind]
        scene.events.message(RunStarted(run_id="abc"))
        kinds.append(scene.clock.stop_request.kind)
        assert kinds == ["setup", "timeout"]
        assert scene.events.run_id == "abc"


@pytest.mark.parametrize(
    ("outcome", "severity", "words"),
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
def test_conclusion(outcome: Outcome, severity: str, words: str) -> None:
    """The log ends with how the job ended, in words."""
    api = SimulatedApi()
    with scene_of(api) as scene:
        assert scene.completion.conclude(outcome)
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
        scene_of(SimulatedApi(), client=client) as scene,
    ):
        client.login()
        scene.events.message(SessionRequest(request_id=5, renew=renew))
        answer = scene.answers.get(timeout=SOON)
        assert server.asked == ["POST auth/login"] * (2 if renew else 1)
    assert answer == SessionReply(
        request_id=5, url=client.url, cookies={"session": "abc"}
    )


def test_no_session() -> None:
    """A runner is told why it gets no session."""
    with (
        ScriptedApi(lambda _: Answer(status=503)).running() as server,
        DioptraApi(url=server.url, username="worker", password=SECRET) as client,
        scene_of(SimulatedApi(), client=client) as scene,
    ):
        scene.events.message(SessionRequest(request_id=5, renew=True))
        answer = scene.answers.get(timeout=SOON)
    assert isinstance(answer, SessionReply)
    assert answer.cookies == {}
    assert answer.error is not None
    assert "503" in answer.error
    assert SECRET not in answer.error


def test_a_refusal_is_told() -> None:
    """The job's log says what is ignored."""
    api = SimulatedApi()
    with scene_of(api) as scene:
        scene.events.refused("a job ends once")
    assert "is ignored: a job ends once" in api.messages()[0]
    assert api.log[0].logger == "dioptra_worker"


def test_a_flood_of_questions_takes_one_thread_and_one_login() -> None:
    """However many ask, one thread answers, and a new session is for all of them."""
    before = threading.active_count()
    with (
        ScriptedApi(_login).running() as server,
        DioptraApi(url=server.url, username="worker", password=SECRET) as client,
        scene_of(SimulatedApi(), client=client) as scene,
    ):
        client.login()
        for number in range(500):
            scene.events.message(SessionRequest(request_id=number, renew=True))
        assert threading.active_count() <= before + 10
        for number in range(500):
            answer = scene.answers.get(timeout=SOON)
            assert isinstance(answer, SessionReply)
            assert answer.request_id == number
        assert len(server.asked) <= 3


def test_questions_that_wait_have_a_limit() -> None:
    """A job that asks faster than anybody answers fails for it."""
    held = threading.Event()

    class Slow:
        url = "http://api"

        def cookies(self, *, renew: bool) -> dict[str, str]:
            del renew
            held.wait(SOON)
            return {}

    with scene_of(SimulatedApi(), client=cast("Any", Slow())) as scene:
        with pytest.raises(LimitReached, match="1,000 questions"):  # noqa: PT012
            for number in range(2000):
                scene.events.message(SessionRequest(request_id=number, renew=False))
        held.set()


def test_artifacts_are_labelled() -> None:
    """An artifact has the worker run and the group that the daemon knows."""
    api = SimulatedApi()
    forged = replace(
        STORED,
        plugin_snapshot_id=7,
        task_id=8,
        worker_run="forged",
        group_id=GROUP + 1,
    )
    with scene_of(api) as scene:
        scene.prepared.set_result(
            Prepared(plan=PLAN, worker_run="0123", group_id=GROUP)
        )
        scene.events.message(RunStarted(run_id="abc", artifact_uri="s3://b/abc/"))
        scene.events.message(forged)
    assert api.artifacts == ["s3://b/abc/m"]  # which checks the group


@pytest.mark.parametrize(
    "forged",
    [
        {"uri": "s3://b/other/m"},
        {"uri": "s3://b/abcd/m"},
        {"uri": "s3://b/abc"},
        {"uri": "s3://b/abc/../other/m"},
        {"uri": "s3://b/abc/%2e%2e/other/m"},
        {"uri": "file:///etc/passwd"},
        {"uri": ""},
        {"name": "other"},
        {"name": ""},
    ],
)
def test_artifacts_of_others_are_not_registered(forged: dict[str, str]) -> None:
    """Only what the task graph writes, where the job's run keeps it, and once."""
    api = SimulatedApi()
    with scene_of(api) as scene:
        with pytest.raises(NotBelieved):  # nothing is known of the job yet
            scene.events.message(STORED)
        scene.prepared.set_result(Prepared(plan=PLAN, worker_run="", group_id=GROUP))
        with pytest.raises(NotBelieved):  # it has no run
            scene.events.message(STORED)
        scene.events.message(RunStarted(run_id="abc", artifact_uri="s3://b/abc"))
        with pytest.raises(NotBelieved):
            scene.events.message(replace(STORED, **cast("Any", forged)))
        scene.events.message(STORED)
        with pytest.raises(NotBelieved):
            scene.events.message(STORED)
    assert api.artifacts == ["s3://b/abc/m"]


def test_no_claims() -> None:
    """A job without a worker run that others could share has no claims."""
    with scene_of(SimulatedApi()) as scene:
        request = BatchClaimRequest(request_id=3, element="a", state="started")
        scene.events.message(request)
        answer = scene.answers.get(timeout=SOON)
    assert answer == BatchClaimReply(request_id=3, outcome="off")


def test_runner_waits() -> None:
    """What a runner waits for shows in the daemon's health until the job is over."""
    with scene_of(SimulatedApi()) as scene:
        health = scene.health
        health.job_started(JOB)
        for service in ("MLflow", "the artifact store"):
            scene.events.message(ServiceState(service=service, away=True))
        assert health.snapshot().waiting_for == ("MLflow", "the artifact store")
        assert why_not_ready(health.snapshot()) == [
            "the worker is starting: it is not logged in and registered yet"
        ]
        scene.events.message(ServiceState(service="MLflow", away=False))
        assert health.snapshot().waiting_for == ("the artifact store",)
        health.job_over()
        assert health.snapshot().waiting_for == ()
