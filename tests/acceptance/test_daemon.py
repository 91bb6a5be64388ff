"""The executable's command line, start, signals and place among RQ's workers."""

from __future__ import annotations

import itertools
import os
import platform as platform_module
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rq import Queue, Worker
from rq.job import Job
from tests.plugins.outcomes import FINISHED
from tests.plugins.testbed import Platform, platform_of_a_test
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    import redis
    from tests.plugins.clients import MlflowReader
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness

    from dioptra_worker.tools.local import LocalStack

SOURCE = """
@pyplugs.register
def nothing():
    print("did nothing")


@pyplugs.register
def wait_for(path, seconds=60):
    print("waiting now")
    deadline = time.time() + seconds
    while not os.path.exists(path) and time.time() < deadline:
        time.sleep(0.02)
    print("waited")
"""


ARENA_BYTES = 64 << 20
"""What the GNU C library reserves for an arena, on machines of 64 bits."""


platform = platform_of_a_test


def _nothing(platform: Platform, queue: str | None = None) -> int:
    entrypoint = platform.entrypoint(SOURCE, {"only": {"nothing": []}})
    return platform.submit(entrypoint, queue)


def test_peer_command_line(
    platform: Platform, stack: LocalStack, tmp_path: Path
) -> None:
    """The peer's command line works, and --url goes before RQ_REDIS_URI."""
    environment = stack.environment()
    url = environment["RQ_REDIS_URI"]
    environment["RQ_REDIS_URI"] = "redis://127.0.0.1:1/0"
    options = ["--url", url, "--results-ttl", "500", "--burst", platform.queue]
    for name in ("DIOPTRA_API", "MLFLOW_TRACKING_URI"):
        options[:0] = ["--wait-for", environment[name].removeprefix("http://")]
    job = _nothing(platform)
    with worker(environment, tmp_path, *options) as running:
        assert running.wait() == 0
    assert platform.status(job) == "finished"


def test_several_queues(platform: Platform, stack: LocalStack, tmp_path: Path) -> None:
    """Two queues are two queues, and the first named is the more urgent."""
    urgent, later = platform.queue, platform.queue + " b"
    platform.add_queue(later)
    jobs = [_nothing(platform, later), _nothing(platform, later)]
    jobs.append(_nothing(platform, urgent))
    with worker(
        stack.environment(), tmp_path, "--max-jobs", "3", urgent, later
    ) as running:
        assert running.wait() == 0
    assert {platform.status(job) for job in jobs} == {"finished"}
    order = [running.log.index(f"job {job} started") for job in jobs]
    assert order[2] < order[0] < order[1]


def test_wakes_for_each_queue(
    platform: Platform, stack: LocalStack, tmp_path: Path
) -> None:
    """A job that arrives while the worker idles is taken at once from any queue."""
    other = platform.queue + "-b"
    platform.add_queue(other)
    with worker(stack.environment(), tmp_path, platform.queue, other) as running:
        for queue in (platform.queue, other):
            time.sleep(0.3)
            job = _nothing(platform, queue)
            running.wait_for(f"job {job} started", seconds=10)  # less than any poll
            running.wait_for(f"job {job} finished")


def test_rq_sees_the_worker(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    """RQ lists the worker with name, queues and state, and forgets it at its end."""
    name = f"named-{platform.queue}"
    with worker(
        stack.environment(), tmp_path, "--name", name, platform.queue
    ) as running:
        found = Worker.find_by_key(f"rq:worker:{name}", connection=redis_client)
        assert found is not None
        assert found.queue_names() == [platform.queue]
        assert found.get_state() == "idle"
        info = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("rq")), "info", "--url"),
                *(stack.environment()["RQ_REDIS_URI"], platform.queue),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert name in info.stdout
        running.send(signal.SIGINT)
        assert running.wait() == 0
    assert redis_client.exists(f"rq:worker:{name}") in {0, 1}
    names = [w.name for w in Worker.all(connection=redis_client)]
    assert name not in names


@pytest.mark.skipif(
    platform_module.libc_ver()[0] != "glibc" or os.geteuid() != 0,
    reason="needs the GNU C library's arenas, and to see what memory a worker has",
)
def test_memory_is_taken_from_one_place(
    platform: Platform, stack: LocalStack, tmp_path: Path
) -> None:
    """The daemon's threads have no arenas of their own, which would grow with jobs."""
    job = _nothing(platform)
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        assert platform.wait(job) == "finished"
        maps = Path(f"/proc/{running.process.pid}/maps").read_text().splitlines()
    # Each but the first begins at a multiple of 64 MiB, of which most is not used yet.
    regions = [(*line.split()[0].split("-"), line.split()[1]) for line in maps]
    arenas = [
        region
        for region, (begin, _, rights) in itertools.pairwise(regions)
        if region[1] == begin
        and rights == "---p"
        and int(region[0], 16) % ARENA_BYTES == 0
    ]
    assert arenas == []


@pytest.mark.parametrize(
    "signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_idle_end(
    signum: signal.Signals, platform: Platform, stack: LocalStack, tmp_path: Path
) -> None:
    """An idle worker ends at once, with exit code 0, on SIGTERM and SIGINT."""
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        below = running.descendants()
        running.send(signum)
        assert running.wait() == 0
        assert not below & running.descendants()


def test_shutdown_command(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    """RQ's shutdown command ends the worker."""
    name = f"ends-{platform.queue}"
    with worker(
        stack.environment(), tmp_path, "--name", name, platform.queue
    ) as running:
        deadline = time.monotonic() + 60
        while running.process.poll() is None and time.monotonic() < deadline:
            redis_client.publish(f"rq:pubsub:{name}", '{"command": "shutdown"}')
            time.sleep(0.2)
        assert running.wait() == 0


def test_drain(
    platform: Platform,
    stack: LocalStack,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """After SIGTERM the running job may end, and no other is taken."""
    go = tmp_path / "go"
    entrypoint = platform.entrypoint(SOURCE, {"one": {"wait_for": [str(go)]}})
    running_job = platform.submit(entrypoint)
    waiting_job = _nothing(platform)
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        platform.wait_for_line(running_job, "waiting now")
        running.send()
        told = time.time()
        running.wait_for("no more jobs are taken")
        go.touch()
        assert running.wait() == 0
    outcome = witness.outcome(
        running_job, says="waited", since=told, after="the signal"
    )
    assert outcome.statuses == FINISHED
    assert platform.status(waiting_job) == "queued"
    fault_report.job("6c", "SIGTERM, and the job ends in time", outcome)


def test_give_back(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job that does not end within the grace is given back and run by another."""
    go = tmp_path / "go"
    entrypoint = platform.entrypoint(SOURCE, {"one": {"wait_for": [str(go)]}})
    job = platform.submit(entrypoint)
    later = _nothing(platform)
    settings = {
        "DIOPTRA_WORKER_SHUTDOWN_GRACE": "0.5",
        "DIOPTRA_WORKER_KILL_GRACE": "1",
    }
    with worker(
        stack.environment(), tmp_path, platform.queue, settings=settings
    ) as running:
        platform.wait_for_line(job, "waiting now")
        first_run = platform.run_id(job)
        told = time.time()
        running.send()
        assert running.wait() == 0
    assert platform.status(job) == "queued"
    assert mlflow_reader.status(first_run) == "KILLED"
    assert Queue(platform.queue, connection=redis_client).job_ids == [
        str(job),
        str(later),
    ]
    assert Job.fetch(str(job), redis_client).get_status() == "queued"
    assert "given back" in platform.text(job)
    go.touch()
    with worker(stack.environment(), tmp_path, "--burst", platform.queue) as second:
        assert second.wait() == 0
    words = "the job is given back"
    outcome = witness.outcome(job, says=words, since=told, after="the signal")
    assert outcome.statuses == FINISHED
    assert platform.run_id(job) != first_run
    fault_report.job("6a", "SIGTERM during a job, and another worker starts", outcome)


def test_wrong_password(
    platform: Platform, stack: LocalStack, fault_report: FaultReport, tmp_path: Path
) -> None:
    """A wrong password ends the worker at once with a sentence and exit code 3."""
    environment = {**stack.environment(), "DIOPTRA_WORKER_PASSWORD": "not-the-one"}
    with worker(environment, tmp_path, platform.queue, ready=False) as running:
        assert running.wait() == 3
    assert "refused to log in user 'worker'" in running.log
    assert "no such user or the password is wrong" in running.log
    assert "Traceback" not in running.log
    line = next(line for line in running.log.splitlines() if "refused to log" in line)
    what = "the worker ends with code 3, and takes no job"
    fault_report.worker("13", "wrong password", what, says=line)


def test_wrong_password_beside_a_good_worker(
    platform: Platform,
    stack: LocalStack,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A worker that may not log in spoils no job of one that may, and takes none."""
    environment = stack.environment()
    wrong = {**environment, "DIOPTRA_WORKER_PASSWORD": "not-the-one"}
    jobs = [_nothing(platform) for _ in range(6)]
    with worker(wrong, tmp_path / "bad", platform.queue, ready=False) as bad:
        assert bad.wait(60) == 3
    with (
        worker(environment, tmp_path / "good", platform.queue),
        worker(wrong, tmp_path / "bad again", platform.queue, ready=False) as bad,
    ):
        outcomes = [witness.outcome(job, says="the job finished") for job in jobs]
        assert bad.wait(60) == 3
    assert {outcome.statuses for outcome in outcomes} == {FINISHED}
    last = max(outcomes, key=lambda outcome: outcome.seconds)
    fault_report.job("13", "wrong password, beside a good worker, six jobs", last)


@pytest.mark.parametrize(
    ("row", "name", "value"),
    [
        ("14", "DIOPTRA_WORKER_USERNAME", ""),
        ("14", "DIOPTRA_WORKER_PASSWORD", ""),
        ("14", "DIOPTRA_API", ""),
        ("14", "RQ_REDIS_URI", ""),
        ("14", "MLFLOW_TRACKING_URI", ""),
        ("14", "MLFLOW_S3_ENDPOINT_URL", ""),
        ("14b", "DIOPTRA_API", "http://[::1"),
        ("14b", "DIOPTRA_API", "localhost:5000"),
        ("14c", "RQ_REDIS_URI", "http://localhost"),
    ],
)
def test_unusable_setting(
    row: str,
    name: str,
    value: str,
    stack: LocalStack,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A setting that is missing or malformed is named, and the exit code is 2."""
    environment = {**stack.environment(), name: value}
    with worker(environment, tmp_path, "any", ready=False) as running:
        assert running.wait(60) == 2
    assert running.log.startswith(f"{name}: ")
    assert len(running.log.splitlines()) == 1
    fault = f"{name} is `{value}`" if value else f"{name} is not set"
    fault_report.worker(row, fault, "the worker ends with code 2", says=running.log)


def test_unreachable_api(platform: Platform, stack: LocalStack, tmp_path: Path) -> None:
    """An API that cannot be reached is waited for, and takes no job meanwhile."""
    environment = {**stack.environment(), "DIOPTRA_API": "http://127.0.0.1:9"}
    job = _nothing(platform)
    with worker(environment, tmp_path, platform.queue, ready=False) as running:
        running.wait_for("the Dioptra API cannot be reached")
        time.sleep(1)
        assert running.process.poll() is None
        assert running.log.count("cannot be reached") == 1
        running.send()
        assert running.wait() == 0
    assert platform.status(job) == "queued"


def test_misspelt_queue(
    platform: Platform, stack: LocalStack, fault_report: FaultReport, tmp_path: Path
) -> None:
    """A queue that the API does not know is warned about, with near matches."""
    misspelt = platform.queue + "x"
    with worker(stack.environment(), tmp_path, misspelt) as running:
        assert f"no queue {misspelt!r}" in running.log
        assert f"did you mean {platform.queue!r}" in running.log
    line = next(line for line in running.log.splitlines() if "no queue" in line)
    words = line[line.index("the Dioptra API") :]
    fault_report.worker("24", "misspelt queue", "the worker listens on", says=words)


def test_foreign_entries(
    platform: Platform,
    stack: LocalStack,
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    """An entry that is no Dioptra job is refused in RQ and never called."""
    queue = Queue(platform.queue, connection=redis_client)
    marker = tmp_path / "called"
    called = queue.enqueue("os.mkdir", str(marker), job_id="foreign")
    pickled = queue.enqueue(
        "dioptra.rq.tasks.run_v1_dioptra_job",
        kwargs={"job_id": Path("/"), "experiment_id": 1},
        job_id="pickled",
    )
    negative = queue.enqueue(
        "dioptra.rq.tasks.run_v1_dioptra_job",
        kwargs={"job_id": -1, "experiment_id": 1},
        job_id="negative",
    )
    good = _nothing(platform)
    with worker(stack.environment(), tmp_path, "--burst", platform.queue) as running:
        assert running.wait() == 0
    assert not marker.exists()
    for job, words in (
        (called, "may be called"),
        (pickled, "pathlib"),
        (negative, "positive whole number"),
    ):
        assert job.get_status(refresh=True) == "failed"
        latest = job.latest_result()
        assert latest is not None
        assert words in str(latest.exc_string)
    assert platform.status(good) == "finished"


def test_secret_files(
    platform: Platform,
    stack: LocalStack,
    tmp_path: Path,
) -> None:
    """Several secrets may come from files, and the work goes on as ever."""
    environment = stack.environment()
    for name in ("DIOPTRA_WORKER_PASSWORD", "RQ_REDIS_URI", "AWS_SECRET_ACCESS_KEY"):
        file = tmp_path / name
        file.write_text(environment.pop(name) + "\n")
        environment[f"{name}_FILE"] = str(file)
    job = _nothing(platform)
    with worker(environment, tmp_path, "--burst", platform.queue) as running:
        assert running.wait() == 0
    assert platform.status(job) == "finished"
