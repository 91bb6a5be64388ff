"""The REST API fails at one job for ever, and works otherwise: the others run."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from tests.plugins.fault_proxy import Rule, answer, fault_proxy
from tests.plugins.people import Person
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.testbed import Platform, platform_of_a_test
from tests.plugins.until import until
from tests.plugins.worker_process import times, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis
    from tests.plugins.clients import MlflowReader
    from tests.plugins.fault_proxy import FaultProxy
    from tests.plugins.worker_process import WorkerProcess

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

PARKED = "dioptra-worker:parked"
ALWAYS = 10**6


platform = platform_of_a_test


@pytest.fixture(name="proxy")
def _proxy(stack: LocalStack) -> Iterator[FaultProxy]:
    with fault_proxy(stack.environment()["DIOPTRA_API"]) as proxy:
        yield proxy


@pytest.fixture(name="start")
def _start(
    stack: LocalStack, platform: Platform, proxy: FaultProxy, tmp_path: Path
) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts the worker, once there is a job at which the API fails."""
    environment = {**stack.environment(), "DIOPTRA_API": proxy.url}
    quick = times(taken_timeout=1.0, retry_pace=0.2)
    with contextlib.ExitStack() as closing:

        def start(**settings: str) -> WorkerProcess:
            return closing.enter_context(
                worker(
                    environment,
                    tmp_path / "worker",
                    platform.queue,
                    settings={**quick, **settings},
                )
            )

        yield start


def _try_again(client: redis.Redis, job: int) -> None:
    """Have a job that waits be tried again now."""
    entry = json.loads(client.hget(PARKED, str(job)) or b"{}")
    client.hset(PARKED, str(job), json.dumps({**entry, "until_": 0}))


def _fails_for(job: StepwiseJob, what: str) -> Rule:
    """The API answers 500 to one kind of request for a job, and only for that."""
    number = job.job
    method, path, body = {
        "artifact": ("POST", r"/artifacts/?$", rf'"job": ?{number}[,}}]'),
        "run": ("POST", rf"/jobs/{number}/mlflowRun", ""),
        "started": ("PUT", rf"/jobs/{number}/status", ""),
        "finished": ("PUT", rf"/jobs/{number}/status", "finished"),
    }[what]
    return Rule(method, path, answer(500), times=ALWAYS, body=body)


def _is_seen(job: int, person: Person, daemon: WorkerProcess) -> None:
    """Who asks for a parked job is told why it is parked, and until when."""
    shown = person.json("jobs", "show", "--json", str(job))["parked"]
    assert "500" in shown["why"]
    assert shown["since"] < shown["next_try"] < shown["given_up"]
    [listed] = [it for it in person.json("jobs", "list", "--json") if it["id"] == job]
    assert listed["parked"]["tries"] >= 1
    text = person.told("jobs", "show", str(job))
    assert "since the API fails at it and works otherwise" in text

    def health() -> list[dict[str, object]]:
        [file] = daemon.work_dir.glob("health-*.json")
        found: list[dict[str, object]] = json.loads(file.read_bytes())["parked"]
        return found

    until(lambda: [each["job_id"] for each in health()] == [job], seconds=30)
    assert "500" in str(health()[0]["why"])


def _two_jobs(
    platform: Platform, proxy: FaultProxy, what: str, folder: Path
) -> tuple[StepwiseJob, Rule, StepwiseJob]:
    """A job at which the API fails, how, and the job behind it; neither waits."""
    bad, good = (StepwiseJob(platform, folder / name) for name in ("bad", "good"))
    rule = proxy.add(_fails_for(bad, what))
    bad.go_on()
    good.go_on()
    return bad, rule, good


@pytest.mark.parametrize("what", ["artifact", "run"])
def test_a_result(
    what: str,
    platform: Platform,
    proxy: FaultProxy,
    start: Callable[..., WorkerProcess],
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    stack: LocalStack,
    tmp_path: Path,
) -> None:
    """A job whose result is not taken waits; it is as it should be when it is."""
    bad, _, good = _two_jobs(platform, proxy, what, tmp_path)
    daemon = start()
    assert platform.wait(good.job, seconds=60) == "finished"
    assert platform.status(bad.job) == "started"
    daemon.wait_for(f"job {bad.job} is parked for")
    platform.wait_for_line(bad.job, "this job is parked and others are run")
    _is_seen(bad.job, Person(stack.environment(), tmp_path), daemon)
    proxy.clear()
    _try_again(redis_client, bad.job)
    assert platform.wait(bad.job, seconds=60) == "finished"
    bad.check(mlflow_reader)
    until(lambda: not redis_client.hexists(PARKED, str(bad.job)))


def test_a_job_that_cannot_begin(
    platform: Platform,
    proxy: FaultProxy,
    start: Callable[..., WorkerProcess],
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """It neither holds up the job behind it nor has anything forked again and again."""
    bad, rule, good = _two_jobs(platform, proxy, "started", tmp_path)
    daemon = start()
    assert platform.wait(good.job, seconds=60) == "finished"
    assert platform.status(bad.job) == "queued"
    assert rule.hits < 20
    daemon.wait_for(f"job {bad.job} is parked for")
    platform.wait_for_line(bad.job, "this job is parked and others are run")
    proxy.clear()
    _try_again(redis_client, bad.job)
    assert platform.wait(bad.job, seconds=60) == "finished"
    bad.check(mlflow_reader)


def test_a_result_that_is_given_up(
    platform: Platform,
    proxy: FaultProxy,
    start: Callable[..., WorkerProcess],
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    """After its time a job fails, and says what of it could not be delivered."""
    bad, _, _ = _two_jobs(platform, proxy, "artifact", tmp_path)
    daemon = start(DIOPTRA_WORKER_DELIVERY_DEADLINE="0")
    daemon.wait_for(f"job {bad.job} is parked for", seconds=60)
    _try_again(redis_client, bad.job)
    assert platform.wait(bad.job, seconds=60) == "failed"
    text = platform.text(bad.job)
    assert "1 results could not be delivered: the REST API failed" in text
    assert text.splitlines()[-1].startswith("the job failed: 1 results of the job")


def test_an_end_that_is_said(
    platform: Platform,
    proxy: FaultProxy,
    start: Callable[..., WorkerProcess],
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    stack: LocalStack,
    tmp_path: Path,
) -> None:
    """Whoever takes up an end that is said after its time does not contradict it."""
    bad, rule, good = _two_jobs(platform, proxy, "finished", tmp_path)
    daemon = start()
    daemon.wait_for(f"job {bad.job} is parked for", seconds=60)
    platform.wait_for_line(bad.job, "the job finished")
    assert platform.wait(good.job, seconds=60) == "finished"
    daemon.send()
    assert daemon.wait() == 0
    for what in ("run", "artifact"):
        proxy.add(_fails_for(bad, what))
    with worker(
        {**stack.environment(), "DIOPTRA_API": proxy.url},
        tmp_path / "second",
        platform.queue,
        settings={
            **times(taken_timeout=1.0, retry_pace=0.2),
            "DIOPTRA_WORKER_DELIVERY_DEADLINE": "0",
        },
    ) as second:
        _try_again(redis_client, bad.job)
        second.wait_for(f"job {bad.job}: waiting to deliver status", seconds=60)
        rule.times = 0
        assert platform.wait(bad.job, seconds=60) == "finished"
    bad.check(mlflow_reader)
    text = platform.text(bad.job)
    assert text.count("the job finished") == 1
    assert "could not be delivered" not in text


@pytest.mark.parametrize("status", [429, pytest.param(503, marks=pytest.mark.slow)])
def test_other_answers(
    status: int,
    platform: Platform,
    proxy: FaultProxy,
    start: Callable[..., WorkerProcess],
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """However the API fails at one job, the job behind it runs."""
    bad, good = (StepwiseJob(platform, tmp_path / name) for name in ("bad", "good"))
    rule = _fails_for(bad, "started" if status == 429 else "artifact")
    rule.action = answer(status)
    proxy.add(rule)
    bad.go_on()
    good.go_on()
    daemon = start()
    assert platform.wait(good.job, seconds=60) == "finished"
    daemon.wait_for(f"job {bad.job} is parked for")
    proxy.clear()
    _try_again(redis_client, bad.job)
    assert platform.wait(bad.job, seconds=60) == "finished"
    bad.check(mlflow_reader)


def test_a_job_that_is_cancelled(
    platform: Platform,
    proxy: FaultProxy,
    start: Callable[..., WorkerProcess],
    redis_client: redis.Redis,
    stack: LocalStack,
    tmp_path: Path,
) -> None:
    """A parked job that somebody ends is not parked any more, for anybody."""
    bad, _, good = _two_jobs(platform, proxy, "artifact", tmp_path)
    daemon = start()
    assert platform.wait(good.job, seconds=60) == "finished"
    daemon.wait_for(f"job {bad.job} is parked for")
    Person(stack.environment(), tmp_path).told("jobs", "cancel", str(bad.job))
    assert platform.status(bad.job) == "failed"
    assert not redis_client.hexists(PARKED, str(bad.job))


def test_another_worker(
    platform: Platform,
    proxy: FaultProxy,
    start: Callable[..., WorkerProcess],
    stack: LocalStack,
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """Results that one worker could not deliver, one of another machine can."""
    bad, _, good = _two_jobs(platform, proxy, "artifact", tmp_path)
    first = start()
    first.wait_for(f"job {bad.job} is parked for", seconds=60)
    assert platform.wait(good.job, seconds=60) == "finished"
    busy = StepwiseJob(platform, tmp_path / "busy")
    busy.wait_at(0)
    with worker(
        stack.environment(), tmp_path / "second", platform.queue, settings=times()
    ):
        _try_again(redis_client, bad.job)
        assert platform.wait(bad.job, seconds=60) == "finished"
    busy.go_on()
    bad.check(mlflow_reader)
