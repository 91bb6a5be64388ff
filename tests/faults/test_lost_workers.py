"""Workers are killed, deliveries doubled, Redis forgets: no job is stuck or lost."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
import redis
from rq import Queue
from rq.job import Job
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import wait_until_gone, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.clients import ApiClient, MlflowReader

    from dioptra_worker.local import LocalStack

SOURCE = """
@pyplugs.register
def run(folder, seconds):
    path = Path(folder, f"run-{os.getpid()}-{time.time_ns()}")
    path.write_text(str(os.getpid()))
    print("running now", flush=True)
    deadline = time.time() + seconds
    while time.time() < deadline and not Path(folder, "go").exists():
        time.sleep(0.02)
    print("ran")
"""


@pytest.fixture(name="platform")
def _platform(api: ApiClient) -> Platform:
    return Platform(api)


@pytest.fixture(name="redis_client")
def _redis(stack: LocalStack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.environment()["RQ_REDIS_URI"]) as client:
        yield client


@pytest.fixture(name="marks")
def _marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def _submit(platform: Platform, marks: Path, seconds: float = 60) -> int:
    graph = {"one": {"run": [str(marks), seconds]}}
    return platform.submit(platform.entrypoint(SOURCE, graph))


def _runs(marks: Path) -> int:
    return len(list(marks.glob("run-*")))


def test_killed_worker(
    platform: Platform,
    stack: LocalStack,
    mlflow_reader: MlflowReader,
    marks: Path,
    tmp_path: Path,
) -> None:
    """A worker killed with -9 takes its runner along; a restarted one runs the job."""
    job = _submit(platform, marks)
    settings = {"DIOPTRA_WORKER_KILL_GRACE": "1"}
    with worker(
        stack.environment(), tmp_path, platform.queue, settings=settings
    ) as first:
        platform.wait_for_line(job, "running now")
        run = platform.run_id(job)
        below = first.descendants()
        assert below
        first.send(signal.SIGKILL)
        first.wait()
        assert wait_until_gone(below, seconds=8) == set()
        assert list(first.work_dir.glob("job-*"))  # nobody was left to remove it
    (marks / "go").touch()
    with worker(
        stack.environment(), tmp_path, platform.queue, settings=settings
    ) as second:
        assert platform.wait(job, seconds=30) == "finished"
        second.wait_for(f"job {job} finished")
        assert list(second.work_dir.glob("job-*")) == []
    assert _runs(marks) == 2
    assert "the worker that ran this job was lost" in platform.text(job)
    assert mlflow_reader.status(run) == "KILLED"
    assert mlflow_reader.status(platform.run_id(job)) == "FINISHED"


def test_killed_twice(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    marks: Path,
    tmp_path: Path,
) -> None:
    """A job that loses two workers is failed with the reason, not run for ever."""
    job = _submit(platform, marks)
    for attempt in (1, 2):
        with worker(
            stack.environment(),
            tmp_path,
            platform.queue,
            settings={"DIOPTRA_WORKER_KILL_GRACE": "1"},
        ) as running:
            deadline = time.monotonic() + 30
            while _runs(marks) < attempt:
                assert time.monotonic() < deadline, running.log
                time.sleep(0.05)
            running.send(signal.SIGKILL)
            running.wait()
    with worker(stack.environment(), tmp_path, platform.queue) as third:
        assert platform.wait(job, seconds=30) == "failed"
        third.wait_for(f"job {job} failed")
    assert _runs(marks) == 2
    assert "its worker was lost 2 times" in platform.log(job)[-1].text
    assert Job.fetch(str(job), redis_client).get_status() == "failed"


def test_killed_runner_of_a_stopped_daemon(
    platform: Platform, stack: LocalStack, marks: Path, tmp_path: Path
) -> None:
    """A runner that is killed while its daemon is frozen is noticed afterwards."""
    job = _submit(platform, marks)
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        platform.wait_for_line(job, "running now")
        pid = int(next(marks.glob("run-*")).read_text())
        running.send(signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        running.send(signal.SIGCONT)
        assert platform.wait(job, seconds=20) == "failed"
    assert "killed by SIGKILL in step 'one'" in platform.log(job)[-1].text


def test_duplicates(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    marks: Path,
    tmp_path: Path,
) -> None:
    """A job delivered to two workers at once runs once and ends well everywhere."""
    job = _submit(platform, marks)
    queue = Queue(platform.queue, connection=redis_client)
    for _ in range(3):
        queue.push_job_id(str(job))
    with (
        worker(stack.environment(), tmp_path / "a", platform.queue) as first,
        worker(stack.environment(), tmp_path / "b", platform.queue) as second,
    ):
        platform.wait_for_line(job, "running now")
        deadline = time.monotonic() + 20
        while "second delivery" not in first.log + second.log:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (marks / "go").touch()
        assert platform.wait(job) == "finished"
        deadline = time.monotonic() + 20
        while queue.count or redis_client.llen(queue.intermediate_queue_key):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)
    assert _runs(marks) == 1
    assert platform.status(job) == "finished"
    assert Job.fetch(str(job), redis_client).get_status() == "finished"
    assert "Is the job" not in platform.text(job)


def test_forgotten_by_redis(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    marks: Path,
    tmp_path: Path,
) -> None:
    """A queued job that Redis has lost is found in the API and run once."""
    job = _submit(platform, marks, seconds=0)
    redis_client.delete(f"rq:queue:{platform.queue}", f"rq:job:{job}")
    settings = {"DIOPTRA_WORKER_LOST_AFTER": "1"}
    with worker(
        stack.environment(), tmp_path, platform.queue, settings=settings
    ) as running:
        assert platform.wait(job, seconds=40) == "finished", running.log
    assert _runs(marks) == 1


def test_taken_and_never_begun(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    marks: Path,
    tmp_path: Path,
) -> None:
    """A job whose taker died before it began goes back to its queue."""
    job = _submit(platform, marks, seconds=0)
    queue = Queue(platform.queue, connection=redis_client)
    moved = redis_client.lmove(queue.key, queue.intermediate_queue_key)
    assert moved == str(job).encode()
    with worker(stack.environment(), tmp_path, platform.queue):
        assert platform.wait(job, seconds=60) == "finished"
    assert _runs(marks) == 1
