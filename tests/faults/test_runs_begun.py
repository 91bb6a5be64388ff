"""A job is stopped, or its worker lost, while MLflow makes its run: it is closed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from rq.command import send_stop_job_command
from tests.plugins.fault_proxy import Rule, fault_proxy
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.testbed import Platform
from tests.plugins.until import until
from tests.plugins.worker_process import WorkerProcess, worker

from dioptra_worker.broker.runs_to_close import UNKNOWN_RUNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import redis
    from tests.plugins.clients import ApiClient, MlflowReader
    from tests.plugins.fault_proxy import Exchange

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(180)

SOURCE = """
@pyplugs.register
def nothing():
    pass
"""
SETTINGS = {
    "DIOPTRA_WORKER_KILL_GRACE": "0.5",
    "DIOPTRA_WORKER_SHUTDOWN_GRACE": "0.5",
}


class Creation:
    """Holds back the first creation of a run.

    Attributes:
        asked: Set when MLflow is asked for it.
        may_end: Set when the creation may go on.
    """

    def __init__(self, *, is_made: bool) -> None:
        """Prepare.

        Args:
            is_made: Whether the run is made and only its answer held back, or the
                request is.
        """
        self.asked = threading.Event()
        self.may_end = threading.Event()
        self._is_made = is_made

    def __call__(self, exchange: Exchange) -> None:
        """Handle the request."""
        answered = exchange.forward() if self._is_made else None
        self.asked.set()
        self.may_end.wait(60)
        exchange.reply(answered or exchange.forward())


class Setting:
    """A worker whose job waits for its MLflow run."""

    def __init__(
        self, running: WorkerProcess, platform: Platform, job: int, client: redis.Redis
    ) -> None:
        self.running, self.platform, self.job = running, platform, job
        self.client = client

    def cancelled(self) -> None:
        """Stop the job."""
        send_stop_job_command(self.client, str(self.job))
        self.running.wait_for(f"job {self.job} stopped")

    def deleted(self) -> None:
        """Delete the job."""
        self.platform.api.delete(f"/jobs/{self.job}")
        self.running.wait_for(f"job {self.job} dropped")

    def out_of_time(self) -> None:
        """Have its set-up take too long."""
        self.running.wait_for(f"job {self.job} failed")

    def shut_down(self) -> None:
        """End the worker, and begin none that takes its job."""
        self.running.send()
        self.running.send()
        assert self.running.wait() == 0

    def lost(self) -> None:
        """Kill the worker and all below it."""
        below = self.running.descendants()
        self.running.send(signal.SIGKILL)
        self.running.wait()
        assert below


class Workers:
    """Workers whose MLflow is behind a proxy, for one test after the other."""

    def __init__(self, stack: LocalStack, api: ApiClient, folder: Path) -> None:
        self._environment = stack.environment()
        self._api, self._folder = api, folder
        self._hired: dict[str, tuple[WorkerProcess, Platform]] = {}
        self._closing = contextlib.ExitStack()
        self.proxy = self._closing.enter_context(
            fault_proxy(self._environment["MLFLOW_TRACKING_URI"])
        )

    def hire(self, **settings: str) -> tuple[WorkerProcess, Platform]:
        """One with these settings, which may have served others; and its queue's."""
        key = json.dumps(settings)
        if key not in self._hired or self._hired[key][0].process.poll() is not None:
            platform = Platform(self._api)
            running = worker(
                {**self._environment, "MLFLOW_TRACKING_URI": self.proxy.url},
                self._folder / platform.queue,
                platform.queue,
                settings={**SETTINGS, **settings},
            )
            self._hired[key] = self._closing.enter_context(running), platform
        return self._hired[key]

    def close(self) -> None:
        """End them."""
        self._closing.close()


@pytest.fixture(scope="module", name="workers")
def _workers(
    stack: LocalStack, api: ApiClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    """Beside them is one of another queue, which closes what the lost ones left."""
    folder = tmp_path_factory.mktemp("workers")
    with worker(stack.environment(), folder / "other", Platform(api).queue):
        workers = Workers(stack, api, folder)
        yield workers
        workers.close()


@contextmanager
def _held(
    workers: Workers, client: redis.Redis, creation: Creation, **settings: str
) -> Iterator[Setting]:
    running, platform = workers.hire(**settings)
    workers.proxy.add(Rule("POST", r"/runs/create", creation))
    job = platform.submit(platform.entrypoint(SOURCE, {"only": {"nothing": []}}))
    try:
        assert creation.asked.wait(60)
        running.wait_for(f"job {job} started")  # its claim is under way as well
        yield Setting(running, platform, job, client)
    finally:
        creation.may_end.set()


@pytest.mark.parametrize("is_made", [True, False], ids=["answer", "request"])
def test_its_process_is_lost_while_its_run_is_made(
    is_made: bool,
    workers: Workers,
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
) -> None:
    """None of the job's code has run: it is begun again, with one run that counts."""
    creation = Creation(is_made=is_made)
    with _held(workers, redis_client, creation) as setting:
        running, platform, job = setting.running, setting.platform, setting.job

        def statuses() -> list[str]:
            found = mlflow_reader.search(f"tags.`dioptra.jobId` = '{job}'")
            return [run["info"]["status"] for run in found]

        for pid in running.descendants() - running.children():
            os.kill(pid, signal.SIGKILL)
        assert platform.wait(job, seconds=60) == "finished"
        assert statuses() == ["FINISHED"]
        assert mlflow_reader.status(platform.run_id(job)) == "FINISHED"
        assert "none of the job's code has run" in platform.text(job)
        creation.may_end.set()
        until(lambda: statuses() == ["FINISHED"] * (1 if is_made else 2), seconds=60)


@pytest.mark.parametrize("is_made", [True, False], ids=["answer", "request"])
@pytest.mark.parametrize(
    "how", ["cancelled", "deleted", "out_of_time", "shut_down", "lost"]
)
def test_stopped_while_its_run_is_made(
    how: str,
    is_made: bool,
    workers: Workers,
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
) -> None:
    """A run whose answer was lost, or that is made only after the end, is closed."""
    creation = Creation(is_made=is_made)
    limit = {"DIOPTRA_WORKER_SETUP_DEADLINE": "2"} if how == "out_of_time" else {}

    def runs(job: int) -> list[str]:
        found = mlflow_reader.search(f"tags.`dioptra.jobId` = '{job}'")
        return [run["info"]["status"] for run in found]

    with _held(workers, redis_client, creation, **limit) as setting:
        getattr(setting, how)()
        job = setting.job
        assert is_made or runs(job) == []
        creation.may_end.set()
        until(
            lambda: runs(job) in (["KILLED"], ["FAILED"]),
            says=lambda: f"{runs(job)}\n{setting.running.log}",
        )
        assert runs(job) == (["FAILED"] if how == "out_of_time" else ["KILLED"])


def test_redis_has_forgotten_it(
    stack: LocalStack,
    api: ApiClient,
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """A worker is lost, its job deleted, and Redis forgets: its folder tells the next.

    Of a job that is there the REST API says which run it has.
    """
    platform = Platform(api)
    stepwise = StepwiseJob(platform, tmp_path / "marks", artifact=False)
    job = stepwise.job

    def runs() -> dict[str, str]:
        found = mlflow_reader.search(f"tags.`dioptra.jobId` = '{job}'")
        return {run["info"]["run_id"]: run["info"]["status"] for run in found}

    def begin() -> AbstractContextManager[WorkerProcess]:
        environment, folder = stack.environment(), tmp_path / "worker"
        return worker(environment, folder, platform.queue, settings=SETTINGS)

    with begin() as lost:
        stepwise.wait_at(0)
        ((first, status),) = runs().items()
        assert status == "RUNNING"
        lost.send(signal.SIGKILL)
        lost.wait()
        known: Any = redis_client.hgetall(UNKNOWN_RUNS)
        (token,) = [key for key, it in known.items() if json.loads(it)["job_id"] == job]
        redis_client.hdel(UNKNOWN_RUNS, token)
    api.delete(f"/jobs/{job}")
    stepwise.go_on()
    with begin() as running:
        until(lambda: runs()[first] == "KILLED", seconds=60, says=lambda: running.log)


def test_a_job_that_is_not_run_after_all(
    stack: LocalStack, api: ApiClient, mlflow_reader: MlflowReader, tmp_path: Path
) -> None:
    """The run that was created beside a claim which was refused is closed."""
    platform = Platform(api)
    job = platform.submit(platform.entrypoint(SOURCE, {"only": {"nothing": []}}))
    api.delete(f"/jobs/{job}")

    def runs() -> list[str]:
        found = mlflow_reader.search(f"tags.`dioptra.jobId` = '{job}'")
        return [run["info"]["status"] for run in found]

    creation = Creation(is_made=True)
    creation.may_end.set()

    def refuse_late(exchange: Exchange) -> None:
        creation.asked.wait(60)
        exchange.reply(exchange.forward())

    environment = stack.environment()
    with (
        fault_proxy(environment["DIOPTRA_API"]) as api_proxy,
        fault_proxy(environment["MLFLOW_TRACKING_URI"]) as mlflow_proxy,
    ):
        api_proxy.add(Rule("PUT", r"/status$", refuse_late))
        mlflow_proxy.add(Rule("POST", r"/runs/create", creation))
        environment["DIOPTRA_API"] = api_proxy.url
        environment["MLFLOW_TRACKING_URI"] = mlflow_proxy.url
        with worker(environment, tmp_path, platform.queue) as running:
            running.wait_for(f"job {job} is not ours to run", seconds=60)
            until(lambda: runs() == ["KILLED"], says=lambda: f"{runs()}")
