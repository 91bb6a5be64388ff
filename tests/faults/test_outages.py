"""Services go and come back; the worker waits, says so, and loses nothing."""

from __future__ import annotations

import dataclasses
import shutil
import time
from typing import TYPE_CHECKING

import pytest
import redis
from tests.plugins.clients import ApiClient, MlflowReader, s3_client
from tests.plugins.outcomes import FAILED, FINISHED, Witness
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import WorkerProcess, times, worker

from dioptra_worker.tools.local.config import BUCKET, StackConfig
from dioptra_worker.tools.local.services.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.fault_report import FaultReport

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.xdist_group("outages"), pytest.mark.timeout(300)]

SETTINGS = {
    "DIOPTRA_WORKER_STATUS_POLL": "1",
    "DIOPTRA_WORKER_LOST_AFTER": "2",
    **times(close_run_timeout=5.0, retry_pace=0.3),
}


@pytest.fixture(name="platform")
def _platform(own_api: ApiClient) -> Platform:
    return Platform(own_api)


@pytest.fixture(name="daemon")
def _daemon(
    own: LocalStack, platform: Platform, tmp_path: Path
) -> Iterator[WorkerProcess]:
    with worker(
        own.environment(), tmp_path, platform.queue, settings=SETTINGS
    ) as running:
        yield running


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


@pytest.mark.parametrize("how", ["stop", "kill", "pause"])
def test_api_away_at_the_end(
    how: str,
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """What a job produced while the API was away is all there when it is back."""
    stepwise = StepwiseJob(platform, tmp_path / "marks", 3)
    stepwise.wait_at(0)
    stepwise.go(0)
    service = own.service("api")
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
    outcome = observer.outcome(
        stepwise.job, says="line 2", since=time.time(), after="the API was back"
    )
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow)
    _next_job(platform, tmp_path)
    assert daemon.process.poll() is None
    words = {"stop": "stopped", "kill": "killed", "pause": "hangs"}[how]
    fault_report.job("7", f"the API is {words} when a job ends", outcome)


def test_api_away_during_a_job(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job does not notice that the API is away for a while, and no line is lost."""
    stepwise = StepwiseJob(platform, tmp_path / "marks", 30)
    stepwise.wait_at(0)
    own.service("api").stop()
    for number in range(20):
        stepwise.go(number)
    stepwise.wait_at(20)
    own.service("api").start()
    back = time.time()
    stepwise.go_on()
    outcome = observer.outcome(
        stepwise.job, says="line 29", since=back, after="the API was back"
    )
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow)
    assert daemon.process.poll() is None
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


def test_session_forgotten(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """An API that starts again with another key for its sessions costs nothing."""
    stepwise = StepwiseJob(platform, tmp_path / "marks", 3)
    stepwise.wait_at(0)
    own.service("api").stop()
    stepwise.go(0)
    stepwise.wait_at(1)
    changed = _with_another_session_key(own.config)
    Service("api", changed).start()
    back = time.time()
    stepwise.go_on()
    with pytest.raises(AssertionError, match="401"):
        platform.status(stepwise.job)  # our own session is forgotten, too
    again = ApiClient(own.environment())
    platform.api.session.cookies = again.session.cookies
    looking = Witness(own.environment())
    outcome = looking.outcome(
        stepwise.job, says="line 2", since=back, after="the API was back"
    )
    looking.close()
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow)
    assert daemon.process.poll() is None
    again.close()
    fault_report.job("23", "the API is restarted with another SECRET_KEY", outcome)


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "forgotten"])
def test_redis_restarted_under_an_idle_worker(
    kept: bool,
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """Jobs that wait are run after Redis is restarted, though it may have lost them."""
    place = own.service("valkey")
    with redis.Redis.from_url(own.environment()["RQ_REDIS_URI"]) as client:
        client.set("rq:suspended", 1)
        jobs = [StepwiseJob(platform, tmp_path / f"marks-{n}") for n in range(3)]
    place.stop()
    if not kept:
        _forget(own)
    for stepwise in jobs:
        stepwise.go_on()
    place.start()
    back = time.time()
    with redis.Redis.from_url(own.environment()["RQ_REDIS_URI"]) as client:
        client.delete("rq:suspended")
    outcomes = [
        observer.outcome(job.job, says="line 0", since=back, after="Redis was back")
        for job in jobs
    ]
    for stepwise, outcome in zip(jobs, outcomes, strict=True):
        assert outcome.statuses == FINISHED
        stepwise.check(mlflow)
    assert daemon.process.poll() is None
    words = "with what it held" if kept else "empty"
    last = max(outcomes, key=lambda outcome: outcome.seconds)
    fault_report.job("10a", f"Redis is restarted {words}, three jobs wait", last)


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "forgotten"])
def test_redis_restarted_during_a_job(
    kept: bool,
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job does not notice that Redis is away, and the worker takes the next one."""
    stepwise = StepwiseJob(platform, tmp_path / "marks", 2)
    stepwise.wait_at(0)
    own.service("valkey").stop()
    if not kept:
        _forget(own)
    stepwise.go(0)
    stepwise.wait_at(1)
    stepwise.go(1)
    assert platform.wait(stepwise.job) == "finished"
    time.sleep(1)
    own.service("valkey").start()
    outcome = observer.outcome(stepwise.job, says="line 1")
    assert outcome.statuses[::2] == FINISHED[::2]
    assert outcome.rq in ({"finished"} if kept else {"finished", "none"})
    stepwise.check(mlflow)
    _next_job(platform, tmp_path)
    assert daemon.process.poll() is None
    words = "with what it held" if kept else "empty"
    fault_report.job("10b", f"Redis is restarted {words} during a job", outcome)


def test_read_only_redis(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A Redis that fails over, and takes no writes meanwhile, is waited for."""
    stepwise = StepwiseJob(platform, tmp_path / "marks", 2)
    stepwise.wait_at(0)
    with redis.Redis.from_url(own.environment()["RQ_REDIS_URI"]) as client:
        client.replicaof("127.0.0.1", "1")
        stepwise.go_on()
        assert platform.wait(stepwise.job) == "finished"
        daemon.wait_for("read only replica")
        client.replicaof("NO", "ONE")
    outcome = observer.outcome(stepwise.job, says="line 1")
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow)
    _next_job(platform, tmp_path)
    assert daemon.process.poll() is None
    fault_report.job("10d", "Redis becomes a read-only replica for a while", outcome)


def test_submitted_while_redis_is_away(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job that the API kept but could not enqueue is found and run."""
    first = StepwiseJob(platform, tmp_path / "marks")
    first.go_on()
    assert platform.wait(first.job) == "finished"
    own.service("valkey").stop()
    with pytest.raises(AssertionError, match="500"):
        platform.submit(first.entrypoint)
    own.service("valkey").start()
    back = time.time()
    query = {"search": 'status:"queued"', "pageLength": 100}
    (job,) = (
        entry["id"]
        for entry in platform.api.get("/jobs/", **query)["data"]
        if entry["queue"]["name"] == platform.queue
    )
    outcome = observer.outcome(job, says="line 0", since=back, after="Redis was back")
    assert outcome.statuses == FINISHED
    assert daemon.process.poll() is None
    assert mlflow.status(platform.run_id(job)) == "FINISHED"
    fault_report.job("10e", "a job is submitted while Redis is away", outcome)


def test_mlflow_away_at_the_start(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job waits for MLflow, says so in its own log, and goes on."""
    own.service("mlflow").stop()
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    stepwise.go_on()
    platform.wait_for_line(stepwise.job, "waiting for MLflow", seconds=60)
    own.service("mlflow").start()
    outcome = observer.outcome(
        stepwise.job,
        says="waiting for MLflow",
        since=time.time(),
        after="MLflow was back",
    )
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow)
    assert daemon.process.poll() is None
    fault_report.job("11b", "MLflow is away when a job starts, and comes back", outcome)


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


def test_s3_away_at_the_end(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """An artifact waits for its store, and the job's log says so."""
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    stepwise.wait_at(0)
    own.service("s3").stop()
    stepwise.go_on()
    words = "waiting for the artifact store"
    platform.wait_for_line(stepwise.job, words, seconds=60)
    own.service("s3").start()
    outcome = observer.outcome(
        stepwise.job, says=words, since=time.time(), after="the store was back"
    )
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow)
    assert daemon.process.poll() is None
    fault_report.job("12", "the artifact store is away, and comes back", outcome)


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


def test_bucket_missing(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job whose bucket is not there fails, and its log names the bucket."""
    client = s3_client(own.environment())
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    for page in pages:
        for entry in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    client.delete_bucket(Bucket=BUCKET)
    try:
        stepwise = StepwiseJob(platform, tmp_path / "marks")
        stepwise.go_on()
        outcome = observer.outcome(stepwise.job, says="NoSuchBucket")
    finally:
        client.create_bucket(Bucket=BUCKET)
        client.close()
    assert outcome.statuses == FAILED, platform.text(stepwise.job)
    assert BUCKET in outcome.line
    assert platform.job(stepwise.job)["artifacts"] == []
    _next_job(platform, tmp_path)
    assert daemon.process.poll() is None
    fault_report.job("12", "the artifact store has no such bucket", outcome)


def test_mlflow_away_at_the_end(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job whose end MLflow misses finishes, and its run is closed afterwards."""
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    stepwise.wait_at(0)
    own.service("mlflow").stop()
    stepwise.go_on()
    words = "is not closed yet"
    platform.wait_for_line(stepwise.job, words, seconds=60)
    own.service("mlflow").start()
    outcome = observer.outcome(
        stepwise.job, says=words, since=time.time(), after="MLflow was back"
    )
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow)
    assert daemon.process.poll() is None
    fault_report.job("11b", "MLflow is away when a job ends, and comes back", outcome)


def test_mlflow_away_from_then_on(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    observer: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job finishes although MLflow stays away; its run is closed much later."""
    stepwise = StepwiseJob(platform, tmp_path / "marks", artifact=False)
    stepwise.wait_at(0)
    own.service("mlflow").stop()
    left = time.time()
    stepwise.go_on()
    assert platform.wait(stepwise.job) == "finished"
    daemon.wait_for(f"job {stepwise.job} finished")
    own.service("mlflow").start()
    words = "it will be when MLflow is back"
    outcome = observer.outcome(
        stepwise.job, says=words, since=left, after="MLflow was away"
    )
    assert outcome.statuses == FINISHED
    _next_job(platform, tmp_path)
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
