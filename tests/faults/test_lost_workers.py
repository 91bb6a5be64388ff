"""Workers are stopped, killed and lost: no job is stuck, lost, or run twice at once."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from rq import Queue
from rq.job import Job
from tests.plugins.fault_proxy import Rule, drop, fault_proxy
from tests.plugins.outcomes import FAILED, FINISHED
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.testbed import Platform, platform_of_a_test
from tests.plugins.until import until
from tests.plugins.worker_process import alive, times, wait_until_gone, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis
    from tests.plugins.clients import ApiClient, MlflowReader
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness
    from tests.plugins.worker_process import WorkerProcess

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

SETTINGS = {"DIOPTRA_WORKER_KILL_GRACE": "1", "DIOPTRA_WORKER_SHUTDOWN_GRACE": "1"}
LOST = "the worker that ran this job was lost"


platform = platform_of_a_test


@pytest.fixture(name="stepwise")
def _stepwise(platform: Platform, tmp_path: Path) -> StepwiseJob:
    return StepwiseJob(platform, tmp_path / "marks")


@pytest.fixture(scope="module", name="standing")
def _standing(
    api: ApiClient, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, WorkerProcess]]:
    """A worker that is not killed, whatever it loses, and its queue."""
    platform = Platform(api)
    folder = tmp_path_factory.mktemp("standing")
    settings = {"DIOPTRA_WORKER_LOST_AFTER": "1"}
    with worker(
        stack.environment(), folder, platform.queue, settings=settings
    ) as running:
        yield platform, running


@pytest.mark.parametrize("whom", ["daemon", "group"])
def test_killed_worker(
    whom: str,
    platform: Platform,
    stack: LocalStack,
    stepwise: StepwiseJob,
    mlflow_reader: MlflowReader,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A worker killed with -9 takes its runner along; a restarted one runs the job."""
    environment, job = stack.environment(), stepwise.job
    with worker(environment, tmp_path, platform.queue, settings=SETTINGS) as first:
        stepwise.wait_at(0)
        platform.wait_for_line(job, "line 0")
        run = platform.run_id(job)
        below = first.descendants()
        assert below
        killed = time.time()
        if whom == "daemon":
            first.send(signal.SIGKILL)
        else:
            os.killpg(first.process.pid, signal.SIGKILL)
        first.wait()
        assert wait_until_gone(below, seconds=30) == set()
        assert list(first.work_dir.glob("job-*"))  # nobody was left to remove it
    stepwise.go_on()
    with worker(environment, tmp_path, platform.queue, settings=SETTINGS) as second:
        outcome = witness.outcome(job, says=LOST, since=killed, after="the kill")
        assert outcome.statuses == FINISHED
        second.wait_for(f"job {job} finished")
        assert list(second.work_dir.glob("job-*")) == []
    assert len(stepwise.runs) == 2
    assert stepwise.ends == 1
    assert mlflow_reader.status(run) == "KILLED"
    row, what = (
        ("5b", "the daemon") if whom == "daemon" else ("5a", "its process group")
    )
    fault_report.job(
        row, f"`kill -9` of {what}, and the worker is started again", outcome
    )


def test_lost_for_good(
    platform: Platform,
    stack: LocalStack,
    stepwise: StepwiseJob,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """The job of a worker that never comes back is run by another one beside it."""
    environment, job = stack.environment(), stepwise.job
    with worker(environment, tmp_path / "a", platform.queue, settings=SETTINGS) as lost:
        stepwise.wait_at(0)
        platform.wait_for_line(job, "line 0")
        with worker(environment, tmp_path / "b", platform.queue) as other:
            killed = time.time()
            lost.send(signal.SIGKILL)
            stepwise.wait_for_runs(2)
            stepwise.go_on()
            outcome = witness.outcome(job, says=LOST, since=killed, after="the kill")
            assert outcome.statuses == FINISHED
            other.wait_for(f"job {job} finished")
    fault_report.job("5c", "`kill -9` of the daemon, beside another worker", outcome)


def test_killed_twice(
    platform: Platform,
    stack: LocalStack,
    stepwise: StepwiseJob,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job that loses two workers is failed with the reason, not run for ever."""
    environment, job = stack.environment(), stepwise.job
    killed = 0.0
    for attempt in (1, 2):
        with worker(environment, tmp_path, platform.queue, settings=SETTINGS) as lost:
            stepwise.wait_for_runs(attempt)
            killed = time.time()
            lost.send(signal.SIGKILL)
            lost.wait()
    with worker(environment, tmp_path, platform.queue) as third:
        words = "its worker was lost 2 times"
        outcome = witness.outcome(
            job, says=words, since=killed, after="the second kill"
        )
        assert outcome.statuses == FAILED
        third.wait_for(f"job {job} failed")
    assert len(stepwise.runs) == 2
    assert words in platform.log(job)[-1].text
    fault_report.job("5b", "`kill -9` of the daemon, twice under the same job", outcome)


def test_killed_runner_of_a_stopped_daemon(
    standing: tuple[Platform, WorkerProcess], tmp_path: Path
) -> None:
    """A runner that is killed while its daemon is frozen is noticed afterwards."""
    platform, running = standing
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    stepwise.wait_at(0)
    running.send(signal.SIGSTOP)
    stepwise.kill()
    running.send(signal.SIGCONT)
    assert platform.wait(stepwise.job) == "failed"
    assert "killed by SIGKILL in step 'stopping'" in platform.log(stepwise.job)[-1].text


def test_killed_fork_server(
    standing: tuple[Platform, WorkerProcess],
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A daemon whose fork server is killed makes a new one for the next job."""
    platform, running = standing
    for pid in running.descendants():
        os.kill(pid, signal.SIGKILL)
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    stepwise.go_on()
    outcome = witness.outcome(stepwise.job, says="line 0")
    assert outcome.statuses == FINISHED
    assert running.process.poll() is None
    fault_report.job("4", "SIGKILL of the fork server between two jobs", outcome)


def test_second_signal(
    platform: Platform,
    stack: LocalStack,
    stepwise: StepwiseJob,
    mlflow_reader: MlflowReader,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """The second SIGTERM gives the job back at once; the next worker runs it."""
    environment, job = stack.environment(), stepwise.job
    settings = {**SETTINGS, "DIOPTRA_WORKER_SHUTDOWN_GRACE": "600"}
    with worker(environment, tmp_path, platform.queue, settings=settings) as first:
        stepwise.wait_at(0)
        platform.wait_for_line(job, "line 0")
        run = platform.run_id(job)
        first.send()
        first.wait_for("a second signal gives it back at once")
        told = time.time()
        first.send()
        assert first.wait(60) == 0
        assert list(first.work_dir.glob("job-*")) == []
    assert _is_given_back(platform, job, first)
    assert mlflow_reader.status(run) == "KILLED"
    stepwise.go_on()
    with worker(environment, tmp_path, platform.queue):
        words = "the job is given back"
        outcome = witness.outcome(
            job, says=words, since=told, after="the second signal"
        )
    assert outcome.statuses == FINISHED
    assert len(stepwise.runs) == 2
    fault_report.job("6d", "SIGTERM twice, and a worker is started again", outcome)


def test_first_process_of_a_container(
    platform: Platform,
    stack: LocalStack,
    stepwise: StepwiseJob,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """As the first process of a PID namespace the daemon obeys SIGTERM, too."""
    environment, job = stack.environment(), stepwise.job
    alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    with worker(
        environment, tmp_path, platform.queue, settings=SETTINGS, prefix=alone
    ) as first:
        stepwise.wait_at(0)
        (daemon,) = first.children()
        below = first.descendants() - {daemon}
        told = time.time()
        os.kill(daemon, signal.SIGTERM)
        assert first.wait(60) == 0
        assert {pid for pid in below if alive(pid)} == set()
    assert _is_given_back(platform, job, first)
    stepwise.go_on()
    with worker(environment, tmp_path, platform.queue):
        words = "the job is given back"
        outcome = witness.outcome(job, says=words, since=told, after="the signal")
    assert outcome.statuses == FINISHED
    fault_report.job(
        "6b", "SIGTERM to the first process of a PID namespace, next worker", outcome
    )


@pytest.mark.slow  # RQ keeps a worker that has ended for a minute
def test_shutdown_while_the_api_is_away(
    platform: Platform,
    stack: LocalStack,
    stepwise: StepwiseJob,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """The end of a job that a worker could not tell is told by the next worker."""
    environment, job = stack.environment(), stepwise.job
    with fault_proxy(environment["DIOPTRA_API"]) as proxy:
        away = {**environment, "DIOPTRA_API": proxy.url}
        with worker(away, tmp_path, platform.queue, settings=SETTINGS) as first:
            stepwise.wait_at(0)
            proxy.add(Rule("PUT", r"/status$", drop, times=10**6))
            stepwise.go_on()
            first.wait_for("waiting to deliver")
            first.send()
            assert first.wait(60) == 0
            assert "another worker will tell it" in first.log
            assert list(first.work_dir.glob("job-*")) == []
    assert platform.status(job) == "started"
    back = time.time()
    with worker(environment, tmp_path, platform.queue) as second:
        outcome = witness.outcome(
            job, says="line 0", since=back, after="the next worker's start"
        )
        second.wait_for(f"job {job} finished")
    assert outcome.statuses == FINISHED
    assert len(stepwise.runs) == 1
    fault_report.job("7", "API away at the end, and the worker is shut down", outcome)


def test_deleted_before_its_turn(
    platform: Platform,
    stack: LocalStack,
    stepwise: StepwiseJob,
    redis_client: redis.Redis,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job that was deleted while it waited is dropped with a line, and never run."""
    job = stepwise.job
    platform.api.delete(f"/jobs/{job}")
    with worker(stack.environment(), tmp_path, "--burst", platform.queue) as running:
        assert running.wait(60) == 0
    line = next(line for line in running.log.splitlines() if "was deleted" in line)
    assert f"job {job} is not ours to run" in line
    assert stepwise.runs == []
    assert Queue(platform.queue, connection=redis_client).count == 0
    fault_report.worker(
        "16", "deleted before its turn", "the worker drops it and goes on", says=line
    )


def test_duplicates(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    stepwise: StepwiseJob,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job delivered to two workers at once runs once and ends well everywhere."""
    job = stepwise.job
    queue = Queue(platform.queue, connection=redis_client)
    for _ in range(3):
        queue.push_job_id(str(job))
    with (
        worker(stack.environment(), tmp_path / "a", platform.queue) as first,
        worker(stack.environment(), tmp_path / "b", platform.queue) as second,
    ):
        stepwise.wait_at(0)
        until(lambda: "second delivery" in first.log + second.log)
        stepwise.go_on()
        assert platform.wait(job) == "finished"
        until(
            lambda: not (queue.count or redis_client.llen(queue.intermediate_queue_key))
        )
        time.sleep(0.3)
        outcome = witness.outcome(job, says="line 0")
    assert len(stepwise.runs) == 1
    assert outcome.statuses == FINISHED
    assert "Is the job" not in platform.text(job)
    fault_report.job("17b", "delivered four times to two workers", outcome)


def test_forgotten_by_redis(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    stepwise: StepwiseJob,
    tmp_path: Path,
) -> None:
    """A queued job that Redis has lost is found in the API and run once."""
    stepwise.go_on()
    redis_client.delete(f"rq:queue:{platform.queue}", f"rq:job:{stepwise.job}")
    settings = {"DIOPTRA_WORKER_LOST_AFTER": "1"}
    with worker(
        stack.environment(), tmp_path, platform.queue, settings=settings
    ) as running:
        assert platform.wait(stepwise.job) == "finished", running.log
    assert len(stepwise.runs) == 1


def test_repair_by_hand(
    standing: tuple[Platform, WorkerProcess],
    redis_client: redis.Redis,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job that is set to ``reset`` in the API, by hand, is enqueued and run again."""
    platform, running = standing
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    job = stepwise.job
    stepwise.go_on()
    assert platform.wait(job) == "finished"
    running.wait_for(f"job {job} finished")
    place = f"/experiments/{platform.experiment}/jobs/{job}/status"
    platform.api.put(place, {"status": "reset"})
    assert Queue(platform.queue, connection=redis_client).count == 0
    reset = time.time()
    stepwise.wait_for_runs(2)
    outcome = witness.outcome(job, says="line 0", since=reset, after="the reset")
    assert Job.fetch(str(job), redis_client).get_status() == "finished"
    assert outcome.statuses == FINISHED
    fault_report.job("27", "a finished job is set to `reset` in the API", outcome)


def test_taken_and_never_begun(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    stepwise: StepwiseJob,
    tmp_path: Path,
) -> None:
    """A job whose taker died before it began goes back to its queue."""
    stepwise.go_on()
    queue = Queue(platform.queue, connection=redis_client)
    moved = redis_client.lmove(queue.key, queue.intermediate_queue_key)
    assert moved == str(stepwise.job).encode()
    settings = times(taken_timeout=2.0)
    with worker(stack.environment(), tmp_path, platform.queue, settings=settings):
        assert platform.wait(stepwise.job) == "finished"
    assert len(stepwise.runs) == 1


def _is_given_back(platform: Platform, job: int, ended: WorkerProcess) -> bool:
    """Whether a job waits again; on a busy machine its worker may say why not yet."""
    told = "another worker will tell it" in ended.log
    return platform.status(job) == "queued" or told
