"""Several workers of one queue: what hits one of them is the others' to make good."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from rq.job import Job
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.tcp_proxy import tcp_proxy
from tests.plugins.testbed import Platform, platform_of_a_test
from tests.plugins.until import PATIENCE, until
from tests.plugins.worker_process import WorkerProcess, alive, times, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import redis
    from tests.plugins.clients import ApiClient, MlflowReader
    from tests.plugins.tcp_proxy import TcpProxy

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

API = "DIOPTRA_API"
LEASE_TTL = 6.0
SETTINGS = {
    "DIOPTRA_WORKER_LEASE_TTL": str(LEASE_TTL),
    "DIOPTRA_WORKER_KILL_GRACE": "1",
    "DIOPTRA_WORKER_API_TIMEOUT": "2",
}
CLOCK = """
import datetime, time

_time, _datetime = time.time, datetime.datetime


class _Other(type(_datetime)):
    def __instancecheck__(cls, it):
        return isinstance(it, _datetime)


class datetime_(_datetime, metaclass=_Other):
    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds={seconds})

    @classmethod
    def utcnow(cls):
        return _datetime.utcnow() + datetime.timedelta(seconds={seconds})


time.time = lambda: _time() + {seconds}
datetime.datetime = datetime_
"""
"""Sets the time of day of a process' Python, and of those that it forks. S3 refuses
whoever's time is off by more than a quarter of an hour."""
ALONE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
"""Has a process that is the first of its namespace, as in a container."""


platform = platform_of_a_test


@pytest.fixture(name="hire")
def _hire(
    platform: Platform, stack: LocalStack, tmp_path: Path
) -> Callable[..., AbstractContextManager[WorkerProcess]]:
    """Starts a worker of the queue, with a name for its folder."""

    def hire(
        folder: str,
        *arguments: str,
        settings: dict[str, str] | None = None,
        ready: bool = True,
        prefix: list[str] | None = None,
    ) -> AbstractContextManager[WorkerProcess]:
        return worker(
            stack.environment(),
            tmp_path / folder,
            *arguments,
            platform.queue,
            settings={**SETTINGS, **times(redis_timeout=1.0), **(settings or {})},
            ready=ready,
            prefix=prefix or (),
        )

    return hire


@dataclass(frozen=True)
class Pair:
    """Two workers of one queue, each with Redis and the API behind proxies of its own.

    Attributes:
        platform: Where jobs are submitted.
        proxies: By the worker's name, then by the setting that has its address.
    """

    platform: Platform
    proxies: dict[str, dict[str, TcpProxy]]

    def of(self, job: int, client: redis.Redis) -> dict[str, TcpProxy]:
        """The proxies of the worker that runs a job."""
        name = Job.fetch(str(job), client).worker_name
        assert name is not None
        return self.proxies[name]


@pytest.fixture(scope="module", name="pair")
def _pair(
    stack: LocalStack, api: ApiClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    platform, environment = Platform(api), stack.environment()
    proxies: dict[str, dict[str, TcpProxy]] = {}
    with contextlib.ExitStack() as closing:
        for name in ("left", "right"):
            own = {
                setting: closing.enter_context(tcp_proxy(stack.service(service).port))
                for service, setting in (("valkey", "RQ_REDIS_URI"), ("api", API))
            }
            behind = {
                setting: environment[setting].replace(f":{it.target}", f":{it.port}")
                for setting, it in own.items()
            }
            running = worker(
                {**environment, **behind},
                tmp_path_factory.mktemp(name),
                *("--name", f"{name}-{platform.queue}", platform.queue),
                settings={**SETTINGS, **times(redis_timeout=1.0)},
            )
            closing.enter_context(running)
            proxies[f"{name}-{platform.queue}"] = own
        yield Pair(platform, proxies)


def test_two_that_stop_at_once(
    platform: Platform,
    hire: Callable[..., AbstractContextManager[WorkerProcess]],
    tmp_path: Path,
) -> None:
    """A job that one gives back while the other ends is run by the next, in time."""
    job = StepwiseJob(platform, tmp_path / "marks")
    with hire("first") as first, hire("second") as second:
        job.wait_at(0)
        for _ in range(2):
            for each in (first, second):
                each.send(signal.SIGTERM)
            time.sleep(0.2)
        assert [first.wait(PATIENCE), second.wait(PATIENCE)] == [0, 0]
    assert platform.status(job.job) == "queued"
    job.go_on()
    with hire("third"):
        assert platform.wait(job.job, seconds=PATIENCE) == "finished"
    assert len(job.runs) == 2
    assert "was lost" not in platform.text(job.job)


def test_a_daemon_that_stands_still(
    platform: Platform,
    hire: Callable[..., AbstractContextManager[WorkerProcess]],
    tmp_path: Path,
) -> None:
    """A job whose daemon is suspended is taken over; its first runner is not heard."""
    job = StepwiseJob(platform, tmp_path / "marks")
    with hire("first") as first:
        job.wait_at(0)
        runner = job.runs[0]
        os.kill(first.process.pid, signal.SIGSTOP)
        with hire("second"):
            job.wait_for_runs(2)
            job.go_on()
            assert platform.wait(job.job, seconds=60) == "finished"
            os.kill(first.process.pid, signal.SIGCONT)
            first.wait_for(f"job {job.job} dropped", seconds=PATIENCE)
            until(lambda: not alive(runner))
            again = StepwiseJob(platform, tmp_path / "again")
            again.go_on()
            assert platform.wait(again.job, seconds=PATIENCE) == "finished"
    text = platform.text(job.job)
    assert text.count("the job finished") == 1
    assert len(platform.job(job.job)["artifacts"]) == 1


@pytest.mark.parametrize("how", ["refuse", "hang"])
@pytest.mark.parametrize("service", ["RQ_REDIS_URI", API])
def test_cut_off_for_less_than_a_lease(
    service: str,
    how: str,
    pair: Pair,
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """A job goes on where it is while its worker, and no other, misses a service."""
    job = StepwiseJob(pair.platform, tmp_path / "marks")
    job.wait_at(0)
    proxy = pair.of(job.job, redis_client)[service]
    getattr(proxy, how)()
    time.sleep(LEASE_TTL / 3)
    proxy.pass_on()
    job.go_on()
    assert pair.platform.wait(job.job, seconds=PATIENCE) == "finished"
    job.check(mlflow_reader)


def test_the_api_is_cut_off_for_longer(
    pair: Pair, redis_client: redis.Redis, mlflow_reader: MlflowReader, tmp_path: Path
) -> None:
    """Who has a lease keeps its job without the API, and tells its end when it can."""
    job = StepwiseJob(pair.platform, tmp_path / "marks")
    job.wait_at(0)
    proxy = pair.of(job.job, redis_client)[API]
    proxy.refuse()
    job.go_on()
    until(lambda: job.ends == 1)
    time.sleep(2 * LEASE_TTL)
    assert pair.platform.status(job.job) == "started"
    proxy.pass_on()
    assert pair.platform.wait(job.job, seconds=PATIENCE) == "finished"
    job.check(mlflow_reader)


def test_namesakes_in_two_containers(
    platform: Platform,
    hire: Callable[..., AbstractContextManager[WorkerProcess]],
    tmp_path: Path,
) -> None:
    """The second of one name waits while the first lives, and serves after its end."""
    name = f"twin-{platform.queue}"
    with hire("first", "--name", name, prefix=ALONE) as first:
        job = StepwiseJob(platform, tmp_path / "marks")
        job.wait_at(0)
        with hire("second", "--name", name, prefix=ALONE, ready=False) as second:
            second.wait_for(f"there is a worker named '{name}' already")
            job.go_on()
            assert platform.wait(job.job, seconds=PATIENCE) == "finished"
            assert len(job.runs) == 1
            (daemon,) = first.children()
            os.kill(daemon, signal.SIGTERM)
            assert first.wait(30) == 0
            second.wait_for("listens on")
            again = StepwiseJob(platform, tmp_path / "again")
            again.go_on()
            assert platform.wait(again.job, seconds=PATIENCE) == "finished"


def test_signals_while_a_worker_ends(
    hire: Callable[..., AbstractContextManager[WorkerProcess]],
) -> None:
    """However often an idle worker is told to end, it ends as it should."""
    with hire("first") as first:
        while first.process.poll() is None:
            first.send(signal.SIGTERM)
            time.sleep(0.01)
        assert first.wait() == 0


@pytest.mark.parametrize("minutes", [-10, 10])
def test_another_clock(
    minutes: int,
    platform: Platform,
    hire: Callable[..., AbstractContextManager[WorkerProcess]],
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """A worker of a host with another time runs its jobs, and takes none of others."""
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CLOCK.format(seconds=minutes * 60))
    odd = {"PYTHONPATH": str(folder), "DIOPTRA_WORKER_LOST_AFTER": "2"}
    with hire("even") as even:
        job = StepwiseJob(platform, tmp_path / "marks")
        job.wait_at(0)
        with hire("odd", settings=odd) as other:
            own = StepwiseJob(platform, tmp_path / "own")
            own.wait_at(0)
            third = StepwiseJob(platform, tmp_path / "third")  # waits in the queue
            time.sleep(LEASE_TTL)
            own.go_on()
            assert platform.wait(own.job, seconds=PATIENCE) == "finished"
            job.go_on()
            third.go_on()
            for each in (job, third):
                assert platform.wait(each.job, seconds=PATIENCE) == "finished"
            assert "goes back to queue" not in even.log + other.log
            assert "it is enqueued again" not in even.log + other.log
            os.kill(even.process.pid, signal.SIGKILL)
    for each in (job, own, third):
        each.check(mlflow_reader)


def test_a_lost_job_is_found_by_another_clock(
    platform: Platform,
    hire: Callable[..., AbstractContextManager[WorkerProcess]],
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    """A host whose time is behind finds what Redis has lost as soon as any other."""
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CLOCK.format(seconds=-600))
    odd = {"PYTHONPATH": str(folder), "DIOPTRA_WORKER_LOST_AFTER": "2"}
    job = StepwiseJob(platform, tmp_path / "marks")
    redis_client.delete(f"rq:queue:{platform.queue}", f"rq:job:{job.job}")
    job.go_on()
    with hire("odd", settings=odd):
        assert platform.wait(job.job, seconds=PATIENCE) == "finished"
