"""A job is delivered twice, in every way it can be: it never runs twice at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rq import Queue
from rq.job import Job
from tests.plugins.outcomes import FINISHED
from tests.plugins.testbed import Platform, platform_of_a_test
from tests.plugins.until import until
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from pathlib import Path

    import redis
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

SOURCE = """
import fcntl


@pyplugs.register
def run(folder):
    job = os.environ["__JOB_ID"]
    with open(Path(folder, f"lock-{job}"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            Path(folder, f"twice-{job}").touch()
        Path(folder, f"run-{job}-{time.time_ns()}").touch()
        print("running now", flush=True)
        deadline = time.time() + 120
        while not Path(folder, "go").exists() and time.time() < deadline:
            time.sleep(0.02)
        print("ran")
"""


platform = platform_of_a_test


def _submit(platform: Platform, marks: Path, jobs: int = 1) -> list[int]:
    entrypoint = platform.entrypoint(SOURCE, {"one": {"run": [str(marks)]}})
    return [platform.submit(entrypoint) for _ in range(jobs)]


def _settled(client: redis.Redis, *names: str) -> bool:
    """Whether nothing waits or is under way in the queues."""
    queues = [Queue(name, connection=client) for name in names]
    return not any(
        queue.count
        or client.llen(queue.intermediate_queue_key)
        or client.zcard(queue.started_job_registry.key)
        for queue in queues
    )


def _check(
    platform: Platform, client: redis.Redis, marks: Path, job: int, *, runs: int = 1
) -> None:
    """The job has run so often, never at once, and ended well in the API and RQ."""
    assert len(list(marks.glob(f"run-{job}-*"))) == runs
    assert not (marks / f"twice-{job}").exists()
    assert platform.status(job) == "finished"
    assert Job.fetch(str(job), client).get_status() == "finished"
    severities = {line.severity for line in platform.log(job)}
    assert severities <= {"DEBUG", "INFO"} or runs > 1


def test_two_queues(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    marks: Path,
    tmp_path: Path,
) -> None:
    """A job that is in two queues is run by the worker of one of them only."""
    (job,) = _submit(platform, marks)
    other = platform.queue + "-b"
    platform.add_queue(other)
    Queue(other, connection=redis_client).push_job_id(str(job))
    with (
        worker(stack.environment(), tmp_path / "a", platform.queue) as first,
        worker(stack.environment(), tmp_path / "b", other) as second,
    ):
        platform.wait_for_line(job, "running now", seconds=90)
        until(lambda: "second delivery" in first.log + second.log)
        (marks / "go").touch()
        assert platform.wait(job, seconds=90) == "finished"
        until(lambda: _settled(redis_client, platform.queue, other))
    _check(platform, redis_client, marks, job)


def test_delivered_again_after_its_end(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    witness: Witness,
    fault_report: FaultReport,
    marks: Path,
    tmp_path: Path,
) -> None:
    """A second delivery of a job that has finished changes nothing, anywhere."""
    (job,) = _submit(platform, marks)
    (marks / "go").touch()
    queue = Queue(platform.queue, connection=redis_client)
    queue.push_job_id(str(job))
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        assert platform.wait(job, seconds=90) == "finished"
        running.wait_for(f"job {job} is not ours to run", seconds=90)
        before, log = witness.outcome(job, says="ran"), platform.text(job)
        queue.push_job_id(str(job))
        until(lambda: running.log.count(f"job {job} is not ours to run") == 2)
        until(lambda: _settled(redis_client, platform.queue))
        (after,) = _submit(platform, marks)
        assert platform.wait(after) == "finished"
        outcome = witness.outcome(job, says="ran")
    assert outcome.statuses == before.statuses == FINISHED
    assert platform.text(job) == log
    _check(platform, redis_client, marks, job)
    fault_report.job("17a", "delivered again after its end", outcome)


def test_reset_while_it_runs(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    marks: Path,
    tmp_path: Path,
) -> None:
    """A job that is reset and enqueued again while it runs is stopped and run anew."""
    (job,) = _submit(platform, marks)
    settings = {
        "DIOPTRA_WORKER_STATUS_POLL": "1",
        "DIOPTRA_WORKER_KILL_GRACE": "1",
        "DIOPTRA_WORKER_LOST_AFTER": "2",
    }
    environment = stack.environment()
    with (
        worker(environment, tmp_path / "a", platform.queue, settings=settings),
        worker(environment, tmp_path / "b", platform.queue, settings=settings),
    ):
        platform.wait_for_line(job, "running now", seconds=90)
        platform.api.put(
            f"/experiments/{platform.experiment}/jobs/{job}/status", {"status": "reset"}
        )
        Queue(platform.queue, connection=redis_client).push_job_id(str(job))
        until(lambda: len(list(marks.glob(f"run-{job}-*"))) == 2)
        (marks / "go").touch()
        assert platform.wait(job, seconds=90) == "finished"
        until(lambda: _settled(redis_client, platform.queue))
    _check(platform, redis_client, marks, job, runs=2)
    assert "the job was stopped: its status was reset" in platform.text(job)


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_ended_by_somebody_else(
    status: str,
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    marks: Path,
    tmp_path: Path,
) -> None:
    """A running job whose status is set is stopped; its log says so, RQ agrees."""
    (job,) = _submit(platform, marks)
    settings = {"DIOPTRA_WORKER_STATUS_POLL": "1", "DIOPTRA_WORKER_KILL_GRACE": "1"}
    with worker(
        stack.environment(), tmp_path, platform.queue, settings=settings
    ) as running:
        platform.wait_for_line(job, "running now", seconds=90)
        platform.api.put(
            f"/experiments/{platform.experiment}/jobs/{job}/status", {"status": status}
        )
        running.wait_for(f"job {job} dropped", seconds=60)
    assert platform.status(job) == status
    assert platform.log(job)[-1].text == (
        f"the job was stopped: its status was set to {status!r} in the REST API, and"
        " not by this worker"
    )
    assert Job.fetch(str(job), redis_client).get_status() == status
    queue = Queue(platform.queue, connection=redis_client)
    for registry in (queue.finished_job_registry, queue.failed_job_registry):
        is_its = registry.key.startswith(f"rq:{status}")
        assert registry.get_job_ids(cleanup=False) == ([str(job)] if is_its else [])
    assert _settled(redis_client, platform.queue)


def test_two_workers_at_the_same_instant(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    witness: Witness,
    fault_report: FaultReport,
    marks: Path,
    tmp_path: Path,
) -> None:
    """Eight jobs, each delivered to two workers at once, run once each and end well."""
    jobs = _submit(platform, marks, jobs=8)
    (marks / "go").touch()
    other = platform.queue + "-b"
    platform.add_queue(other)
    environment = stack.environment()
    queue, twin = (
        Queue(name, connection=redis_client) for name in (platform.queue, other)
    )
    redis_client.delete(queue.key)
    with (
        worker(environment, tmp_path / "a", platform.queue) as first,
        worker(environment, tmp_path / "b", other) as second,
    ):
        for job in jobs:
            with redis_client.pipeline() as pipeline:  # both bells ring at once
                pipeline.rpush(queue.key, str(job))
                pipeline.rpush(twin.key, str(job))
                pipeline.execute()
            assert platform.wait(job, seconds=90) == "finished"
        until(lambda: _settled(redis_client, platform.queue, other))
        said = first.log + second.log
        left = said.count("second delivery") + said.count("not ours to run")
        assert left == len(jobs)
        assert "Traceback" not in said
    for job in jobs:
        _check(platform, redis_client, marks, job)
    outcomes = [witness.outcome(job, says="ran") for job in jobs]
    assert {outcome.statuses for outcome in outcomes} == {FINISHED}
    last = max(outcomes, key=lambda outcome: outcome.seconds)
    fault_report.job("17c", "delivered to two workers at the same instant", last)
