"""Services go and come back; the worker waits, says so, and loses nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.plugins.clients import ApiClient, MlflowReader
from tests.plugins.stack import fresh_stack
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.local import LocalStack

pytestmark = pytest.mark.xdist_group("outages")

SOURCE = """
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client


@pyplugs.register
def count(folder, lines):
    client = get_authenticated_worker_client(LOG, "json")
    for number in range(lines):
        print("line", number)
        client.jobs.append_metric_by_id(
            job_id=os.environ["__JOB_ID"],
            metric_name="seen",
            metric_value=float(number),
            metric_step=number,
        )
        Path(folder, f"at-{number}").touch()
        deadline = time.time() + 60
        while not Path(folder, f"go-{number}").exists() and time.time() < deadline:
            time.sleep(0.01)
    return "kept"
"""


@pytest.fixture(scope="module", name="own")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with fresh_stack(tmp_path_factory.mktemp("own") / "stack") as stack:
        yield stack


@pytest.fixture(name="platform")
def _platform(own: LocalStack) -> Iterator[Platform]:
    client = ApiClient(own.environment())
    yield Platform(client)
    client.close()


@pytest.fixture(name="daemon")
def _daemon(
    own: LocalStack, platform: Platform, tmp_path: Path
) -> Iterator[WorkerProcess]:
    with worker(
        own.environment(),
        tmp_path,
        platform.queue,
        settings={"DIOPTRA_WORKER_STATUS_POLL": "1"},
    ) as running:
        yield running


class Counted:
    """A job that stops at each line until it is told to go on."""

    def __init__(self, platform: Platform, folder: Path, lines: int) -> None:
        self.platform = platform
        self.folder = folder
        self.lines = lines
        folder.mkdir()
        entrypoint = platform.entrypoint(
            SOURCE,
            {"counting": {"count": [str(folder), lines]}},
            artifact_outputs={
                "kept": {"contents": "$counting", "task": {"name": "Text"}}
            },
        )
        self.job = platform.submit(entrypoint)

    def go(self, number: int) -> None:
        """Let the job go on after a line."""
        (self.folder / f"go-{number}").touch()

    def wait_at(self, number: int) -> None:
        """Wait until the job has said a line."""
        deadline = time.monotonic() + 40
        while not (self.folder / f"at-{number}").exists():
            assert time.monotonic() < deadline, number
            time.sleep(0.02)

    def check(self, mlflow: MlflowReader) -> None:
        """All is as if nothing had happened."""
        log = self.platform.log(self.job)
        said = [line.text for line in log if line.logger == "stdout"]
        assert said == [f"line {number}" for number in range(self.lines)]
        found = self.platform.api.get(
            f"/jobs/{self.job}/metrics/seen/snapshots", pageLength=100
        )
        steps = sorted(entry["step"] for entry in found["data"])
        assert steps == list(range(self.lines))
        artifacts = self.platform.artifacts(self.job)
        assert self.platform.content(artifacts["kept"]) == b"kept"
        assert mlflow.status(self.platform.run_id(self.job)) == "FINISHED"


@pytest.fixture(name="mlflow")
def _mlflow(own: LocalStack) -> Iterator[MlflowReader]:
    reader = MlflowReader(own.environment())
    yield reader
    reader.close()


@pytest.mark.parametrize("how", ["stop", "kill", "pause"])
def test_api_away_at_the_end(
    how: str,
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    tmp_path: Path,
) -> None:
    """What a job produced while the API was away is all there when it is back."""
    counted = Counted(platform, tmp_path / "marks", 3)
    counted.wait_at(0)
    counted.go(0)
    service = own.service("api")
    getattr(service, how)()
    counted.wait_at(1)
    counted.go(1)
    counted.wait_at(2)
    counted.go(2)
    time.sleep(2)
    if how == "pause":
        service.resume()
    else:
        service.start()
    assert platform.wait(counted.job, seconds=90) == "finished"
    counted.check(mlflow)
    after = Counted(platform, tmp_path / "after", 1)
    after.go(0)
    assert platform.wait(after.job, seconds=60) == "finished"
    assert daemon.process.poll() is None


def test_api_away_when_a_job_waits(
    own: LocalStack, platform: Platform, tmp_path: Path
) -> None:
    """While the API is away no job leaves its queue; afterwards each is run."""
    import redis  # noqa: PLC0415 - used here only

    job = Counted(platform, tmp_path / "marks", 1)
    job.go(0)
    environment = own.environment()
    with redis.Redis.from_url(environment["RQ_REDIS_URI"]) as client:
        key = f"rq:queue:{platform.queue}"
        held = client.lpop(key)
        assert held is not None
        with worker(environment, tmp_path, platform.queue) as running:
            own.service("api").stop()
            client.rpush(key, held)
            running.wait_for("cannot be reached", seconds=20)
            time.sleep(1)
            assert client.lrange(key, 0, -1) == [held]
            own.service("api").start()
            assert platform.wait(job.job, seconds=60) == "finished"


def test_redis_away_in_between(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    tmp_path: Path,
) -> None:
    """A job does not notice that Redis is away, and the worker takes the next one."""
    counted = Counted(platform, tmp_path / "marks", 2)
    counted.wait_at(0)
    own.service("valkey").stop()
    counted.go(0)
    counted.wait_at(1)
    counted.go(1)
    assert platform.wait(counted.job, seconds=60) == "finished"
    time.sleep(1)
    own.service("valkey").start()
    after = Counted(platform, tmp_path / "after", 1)
    after.go(0)
    assert platform.wait(after.job, seconds=90) == "finished"
    counted.check(mlflow)
    assert daemon.process.poll() is None


def test_mlflow_away_at_the_start(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    tmp_path: Path,
) -> None:
    """A job waits for MLflow, says so in its own log, and goes on."""
    own.service("mlflow").stop()
    counted = Counted(platform, tmp_path / "marks", 1)
    counted.go(0)
    platform.wait_for_line(counted.job, "waiting for MLflow", seconds=60)
    own.service("mlflow").start()
    assert platform.wait(counted.job, seconds=90) == "finished"
    counted.check(mlflow)
    assert daemon.process.poll() is None


def test_s3_away_at_the_end(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    tmp_path: Path,
) -> None:
    """An artifact waits for its store, and the job's log says so."""
    counted = Counted(platform, tmp_path / "marks", 1)
    counted.wait_at(0)
    own.service("s3").stop()
    counted.go(0)
    platform.wait_for_line(counted.job, "waiting for the artifact store", seconds=60)
    own.service("s3").start()
    assert platform.wait(counted.job, seconds=90) == "finished"
    counted.check(mlflow)
    assert daemon.process.poll() is None


def test_mlflow_away_at_the_end(
    own: LocalStack,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow: MlflowReader,
    tmp_path: Path,
) -> None:
    """A job finishes although MLflow is away, and its run is closed later."""
    counted = Counted(platform, tmp_path / "marks", 1)
    counted.wait_at(0)
    own.service("mlflow").stop()
    counted.go(0)
    platform.wait_for_line(counted.job, "is not closed yet", seconds=60)
    own.service("mlflow").start()
    assert platform.wait(counted.job, seconds=90) == "finished"
    run = platform.run_id(counted.job)
    deadline = time.monotonic() + 60
    while mlflow.status(run) != "FINISHED":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    counted.check(mlflow)
    assert daemon.process.poll() is None
