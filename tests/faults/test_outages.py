"""Services go and come back; the worker waits, says so, and loses nothing."""

from __future__ import annotations

import dataclasses
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import redis
from tests.plugins.clients import ApiClient, MlflowReader, s3_client
from tests.plugins.outcomes import FAILED, FINISHED, Outcome, Witness
from tests.plugins.stepwise import RESULTS_WAIT, StepwiseJob
from tests.plugins.testbed import Platform, own_platform
from tests.plugins.worker_process import WorkerProcess, times, worker

from dioptra_worker.tools.local.config import BUCKET, StackConfig
from dioptra_worker.tools.local.services.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.fault_report import FaultReport

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

SETTINGS = {
    "DIOPTRA_WORKER_STATUS_POLL": "1",
    "DIOPTRA_WORKER_LOST_AFTER": "2",
    **times(close_run_timeout=5.0, retry_pace=0.3),
}


platform = own_platform


@pytest.fixture(name="mlflow")
def _mlflow(own: LocalStack) -> Iterator[MlflowReader]:
    reader = MlflowReader(own.environment())
    yield reader
    reader.close()


@pytest.fixture(name="observer")
def _observer(own: LocalStack) -> Iterator[Witness]:
    looking = Witness(own.environment())
    yield looking
    looking.close()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A stack whose services go, a worker, and all who look on.

    Attributes:
        stack: The services.
        platform: Where jobs are submitted.
        daemon: The worker.
        mlflow: Reads its runs.
        observer: Looks at jobs from all sides.
        folder: Where jobs leave their marks.
    """

    stack: LocalStack
    platform: Platform
    daemon: WorkerProcess
    mlflow: MlflowReader
    observer: Witness
    folder: Path

    def job(self, stops: int = 1, name: str = "marks") -> StepwiseJob:
        """Submit a job that stops so often."""
        return StepwiseJob(self.platform, self.folder / name, stops)

    def finished(
        self,
        stepwise: StepwiseJob,
        says: str,
        *,
        since: float | None = None,
        after: str = "the start of the job",
    ) -> Outcome:
        """Wait for the end of a job, which has made everything; the worker lives."""
        outcome = self.observer.outcome(
            stepwise.job, says=says, since=since, after=after
        )
        assert outcome.statuses == FINISHED
        stepwise.check(self.mlflow)
        assert self.daemon.process.poll() is None
        return outcome


@pytest.fixture(scope="module", name="queue")
def _queue(stack_of_this_process: LocalStack) -> str:
    """The queue of the worker that lives through one outage after the other."""
    api = ApiClient(stack_of_this_process.environment())
    queue = Platform(api).queue
    api.close()
    return queue


@pytest.fixture(scope="module", name="daemon")
def _daemon(
    stack_of_this_process: LocalStack,
    queue: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    with worker(
        stack_of_this_process.environment(), folder, queue, settings=SETTINGS
    ) as running:
        yield running


@pytest.fixture(name="scene")
def _scene(
    own: LocalStack,
    own_api: ApiClient,
    queue: str,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    observer: Witness,
    tmp_path: Path,
) -> Scene:
    assert daemon.process.poll() is None, daemon.log
    return Scene(
        stack=own,
        platform=Platform(own_api, queue),
        daemon=daemon,
        mlflow=mlflow,
        observer=observer,
        folder=tmp_path,
    )


@pytest.mark.parametrize(
    "how",
    ["stop", *(pytest.param(how, marks=pytest.mark.slow) for how in ("kill", "pause"))],
)
def test_api_away_at_the_end(how: str, scene: Scene, fault_report: FaultReport) -> None:
    """What a job produced while the API was away is all there when it is back."""
    stepwise = scene.job(3)
    stepwise.wait_at(0)
    stepwise.go(0)
    service = scene.stack.service("api")
    getattr(service, how)()
    stepwise.wait_at(1)
    stepwise.go(1)
    stepwise.wait_at(2)
    stepwise.go(2)
    time.sleep(2)
    if how == "pause":
        service.resume()
    else:
        service.start()
    outcome = scene.finished(
        stepwise, "line 2", since=time.time(), after="the API was back"
    )
    _next_job(scene.platform, scene.folder)
    assert scene.daemon.process.poll() is None
    words = {"stop": "stopped", "kill": "killed", "pause": "hangs"}[how]
    fault_report.job("7", f"the API is {words} when a job ends", outcome)


def test_api_away_during_a_job(scene: Scene, fault_report: FaultReport) -> None:
    """A job does not notice that the API is away for a while, and no line is lost."""
    stepwise = scene.job(30)
    stepwise.wait_at(0)
    scene.stack.service("api").stop()
    for number in range(20):
        stepwise.go(number)
    stepwise.wait_at(20)
    scene.stack.service("api").start()
    back = time.time()
    stepwise.go_on()
    outcome = scene.finished(stepwise, "line 29", since=back, after="the API was back")
    fault_report.job("7c", "the API is away for twenty of thirty lines", outcome)


def test_api_away_when_a_job_waits(
    own: LocalStack,
    platform: Platform,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """While the API is away no job leaves its queue; afterwards each is run."""
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    stepwise.go_on()
    environment = own.environment()
    with redis.Redis.from_url(environment["RQ_REDIS_URI"]) as client:
        key = f"rq:queue:{platform.queue}"
        held = client.lpop(key)
        assert held is not None
        with worker(environment, tmp_path, platform.queue) as running:
            own.service("api").stop()
            client.rpush(key, held)
            running.wait_for("cannot be reached", seconds=60)
            time.sleep(1)
            assert client.lrange(key, 0, -1) == [held]
            own.service("api").start()
            outcome = observer.outcome(
                stepwise.job, says="line 0", since=time.time(), after="the API was back"
            )
    assert outcome.statuses == FINISHED
    fault_report.job("8", "the API is away when a job waits in its queue", outcome)


def test_session_forgotten(scene: Scene, fault_report: FaultReport) -> None:
    """An API that starts again with another key for its sessions costs nothing."""
    stepwise = scene.job(3)
    stepwise.wait_at(0)
    scene.stack.service("api").stop()
    stepwise.go(0)
    stepwise.wait_at(1)
    changed = _with_another_session_key(scene.stack.config)
    Service("api", changed).start()
    back = time.time()
    stepwise.go_on()
    with pytest.raises(AssertionError, match="401"):
        scene.platform.status(stepwise.job)  # our own session is forgotten, too
    again = ApiClient(scene.stack.environment())
    scene.platform.api.session.cookies = again.session.cookies
    looking = Witness(scene.stack.environment())
    outcome = looking.outcome(
        stepwise.job, says="line 2", since=back, after="the API was back"
    )
    looking.close()
    assert outcome.statuses == FINISHED
    stepwise.check(scene.mlflow)
    assert scene.daemon.process.poll() is None
    again.close()
    fault_report.job("23", "the API is restarted with another SECRET_KEY", outcome)


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "forgotten"])
def test_redis_restarted_under_an_idle_worker(
    kept: bool, scene: Scene, fault_report: FaultReport
) -> None:
    """Jobs that wait are run after Redis is restarted, though it may have lost them."""
    place = scene.stack.service("valkey")
    url = scene.stack.environment()["RQ_REDIS_URI"]
    with redis.Redis.from_url(url) as client:
        client.set("rq:suspended", 1)
        jobs = [scene.job(name=f"marks-{number}") for number in range(3)]
    place.stop()
    if not kept:
        _forget(scene.stack)
    for stepwise in jobs:
        stepwise.go_on()
    place.start()
    back = time.time()
    with redis.Redis.from_url(url) as client:
        client.delete("rq:suspended")
    outcomes = [
        scene.finished(stepwise, "line 0", since=back, after="Redis was back")
        for stepwise in jobs
    ]
    words = "with what it held" if kept else "empty"
    last = max(outcomes, key=lambda outcome: outcome.seconds)
    fault_report.job("10a", f"Redis is restarted {words}, three jobs wait", last)


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "forgotten"])
def test_redis_restarted_during_a_job(
    kept: bool, scene: Scene, fault_report: FaultReport
) -> None:
    """A job does not notice that Redis is away, and shows its results afterwards."""
    stepwise = scene.job(2)
    stepwise.wait_at(0)
    scene.stack.service("valkey").stop()
    if not kept:
        _forget(scene.stack)
    stepwise.go(0)
    stepwise.wait_at(1)
    stepwise.go(1)
    scene.platform.wait_for_line(stepwise.job, RESULTS_WAIT, seconds=60)
    scene.stack.service("valkey").start()
    outcome = scene.observer.outcome(stepwise.job, says="line 1")
    assert outcome.statuses[::2] == FINISHED[::2]
    assert outcome.rq in ({"finished"} if kept else {"finished", "none"})
    stepwise.check(scene.mlflow)
    _next_job(scene.platform, scene.folder)
    assert scene.daemon.process.poll() is None
    words = "with what it held" if kept else "empty"
    fault_report.job("10b", f"Redis is restarted {words} during a job", outcome)


def test_a_job_without_results_ends_though_redis_is_away(scene: Scene) -> None:
    """What shows no artifact asks nobody whether it may end."""
    stepwise = StepwiseJob(scene.platform, scene.folder / "marks", artifact=False)
    stepwise.wait_at(0)
    scene.stack.service("valkey").stop()
    stepwise.go_on()
    assert scene.platform.wait(stepwise.job) == "finished"
    scene.stack.service("valkey").start()
    outcome = scene.observer.outcome(stepwise.job, says="line 0")
    assert outcome.statuses == FINISHED
    _next_job(scene.platform, scene.folder)
    assert scene.daemon.process.poll() is None


def test_read_only_redis(scene: Scene, fault_report: FaultReport) -> None:
    """A Redis that fails over, and takes no writes meanwhile, is waited for."""
    stepwise = scene.job(2)
    stepwise.wait_at(0)
    with redis.Redis.from_url(scene.stack.environment()["RQ_REDIS_URI"]) as client:
        client.replicaof("127.0.0.1", "1")
        try:
            stepwise.go_on()
            scene.platform.wait_for_line(stepwise.job, RESULTS_WAIT, seconds=60)
            scene.daemon.wait_for("read only replica")
        finally:
            client.replicaof("NO", "ONE")
    outcome = scene.finished(stepwise, "line 1")
    _next_job(scene.platform, scene.folder)
    assert scene.daemon.process.poll() is None
    fault_report.job("10d", "Redis becomes a read-only replica for a while", outcome)


def test_submitted_while_redis_is_away(scene: Scene, fault_report: FaultReport) -> None:
    """A job that the API kept but could not enqueue is found and run."""
    platform = scene.platform
    first = scene.job()
    first.go_on()
    assert platform.wait(first.job) == "finished"
    scene.stack.service("valkey").stop()
    with pytest.raises(AssertionError, match="500"):
        platform.submit(first.entrypoint)
    scene.stack.service("valkey").start()
    back = time.time()
    query = {"search": 'status:"queued"', "pageLength": 100}
    (job,) = (
        entry["id"]
        for entry in platform.api.get("/jobs/", **query)["data"]
        if entry["queue"]["name"] == platform.queue
    )
    outcome = scene.observer.outcome(
        job, says="line 0", since=back, after="Redis was back"
    )
    assert outcome.statuses == FINISHED
    assert scene.daemon.process.poll() is None
    assert scene.mlflow.status(platform.run_id(job)) == "FINISHED"
    fault_report.job("10e", "a job is submitted while Redis is away", outcome)


@dataclass(frozen=True, kw_only=True)
class Absence:
    """A service that is away until a job's log says so.

    Attributes:
        service: Which.
        begun: Whether the job runs by then.
        says: What its log says.
        after: What its outcome counts from.
        row: Beside which row of the peer's it is shown.
        fault: The fault in words.
    """

    service: str
    begun: bool
    says: str
    after: str
    row: str
    fault: str


ABSENCES = {
    "mlflow at the start": Absence(
        service="mlflow",
        begun=False,
        says="waiting for MLflow",
        after="MLflow was back",
        row="11b",
        fault="MLflow is away when a job starts, and comes back",
    ),
    "s3 at the end": Absence(
        service="s3",
        begun=True,
        says="waiting for the artifact store",
        after="the store was back",
        row="12",
        fault="the artifact store is away, and comes back",
    ),
    "mlflow at the end": Absence(
        service="mlflow",
        begun=True,
        says="is not closed yet",
        after="MLflow was back",
        row="11b",
        fault="MLflow is away when a job ends, and comes back",
    ),
}


@pytest.mark.parametrize("name", list(ABSENCES))
def test_away_until_the_log_says_so(
    name: str, scene: Scene, fault_report: FaultReport
) -> None:
    """A job that misses a service says so in its log, goes on, and lacks nothing."""
    absence = ABSENCES[name]
    service = scene.stack.service(absence.service)
    if not absence.begun:
        service.stop()
    stepwise = scene.job()
    if absence.begun:
        stepwise.wait_at(0)
        service.stop()
    stepwise.go_on()
    scene.platform.wait_for_line(stepwise.job, absence.says, seconds=60)
    service.start()
    outcome = scene.finished(
        stepwise, absence.says, since=time.time(), after=absence.after
    )
    fault_report.job(absence.row, absence.fault, outcome)


def test_mlflow_stays_away(
    own: LocalStack,
    platform: Platform,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job that cannot have an MLflow run fails when its time for set-up is over."""
    settings = {**SETTINGS, "DIOPTRA_WORKER_SETUP_DEADLINE": "5"}
    with worker(
        own.environment(), tmp_path, platform.queue, settings=settings
    ) as daemon:
        own.service("mlflow").stop()
        try:
            stepwise = StepwiseJob(platform, tmp_path / "marks")
            assert platform.wait(stepwise.job) == "failed"
        finally:
            own.service("mlflow").start()
        words = "could not be had within 5.0 s (DIOPTRA_WORKER_SETUP_DEADLINE)"
        outcome = observer.outcome(stepwise.job, says=words)
        assert outcome.statuses == ("failed", "failed", "none")
        assert "waiting for MLflow" in platform.text(stepwise.job)
        assert stepwise.runs == []
        assert list(daemon.work_dir.glob("job-*")) == []
        _next_job(platform, tmp_path)
    fault_report.job("11a", "MLflow stays away, set-up may take 5 s", outcome)


def test_s3_away_at_the_start(
    own: LocalStack,
    platform: Platform,
    observer: Witness,
    mlflow: MlflowReader,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A worker starts without its store; a job waits for it at its artifact."""
    own.service("s3").stop()
    try:
        with worker(
            own.environment(), tmp_path, platform.queue, settings=SETTINGS
        ) as running:
            stepwise = StepwiseJob(platform, tmp_path / "marks")
            stepwise.wait_at(0)
            stepwise.go_on()
            words = "waiting for the artifact store"
            platform.wait_for_line(stepwise.job, words, seconds=60)
            own.service("s3").start()
            outcome = observer.outcome(
                stepwise.job, says=words, since=time.time(), after="the store was back"
            )
            assert running.process.poll() is None
    finally:
        own.service("s3").start()
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow)
    fault_report.job("12", "the artifact store is away when the worker starts", outcome)


def test_bucket_missing(scene: Scene, fault_report: FaultReport) -> None:
    """A job whose bucket is not there fails, and its log names the bucket."""
    client = s3_client(scene.stack.environment())
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    for page in pages:
        for entry in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    client.delete_bucket(Bucket=BUCKET)
    try:
        stepwise = scene.job()
        stepwise.go_on()
        outcome = scene.observer.outcome(stepwise.job, says="NoSuchBucket")
    finally:
        client.create_bucket(Bucket=BUCKET)
        client.close()
    assert outcome.statuses == FAILED, scene.platform.text(stepwise.job)
    assert BUCKET in outcome.line
    assert scene.platform.job(stepwise.job)["artifacts"] == []
    _next_job(scene.platform, scene.folder)
    assert scene.daemon.process.poll() is None
    fault_report.job("12", "the artifact store has no such bucket", outcome)


def test_mlflow_away_from_then_on(scene: Scene, fault_report: FaultReport) -> None:
    """A job finishes although MLflow stays away; its run is closed much later."""
    platform = scene.platform
    stepwise = StepwiseJob(platform, scene.folder / "marks", artifact=False)
    stepwise.wait_at(0)
    scene.stack.service("mlflow").stop()
    left = time.time()
    stepwise.go_on()
    assert platform.wait(stepwise.job) == "finished"
    scene.daemon.wait_for(f"job {stepwise.job} finished")
    scene.stack.service("mlflow").start()
    words = "it will be when MLflow is back"
    outcome = scene.observer.outcome(
        stepwise.job, says=words, since=left, after="MLflow was away"
    )
    assert outcome.statuses == FINISHED
    _next_job(platform, scene.folder)
    fault_report.job("11c", "MLflow is away from the middle of a job on", outcome)


def _next_job(platform: Platform, folder: Path) -> None:
    """The next job is as any other."""
    following = StepwiseJob(platform, folder / "next")
    following.go_on()
    assert platform.wait(following.job) == "finished"


def _forget(stack: LocalStack) -> None:
    """Let a Redis that is stopped lose what it held."""
    folder = stack.directory / "valkey"
    shutil.rmtree(folder / "appendonlydir")


def _with_another_session_key(config: StackConfig) -> StackConfig:
    return dataclasses.replace(config, session_key="another-key-for-sessions")
