"""However a job ends, status, log and MLflow say the truth, and nothing stays."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
import yaml
from rq.command import send_kill_horse_command, send_stop_job_command
from rq.job import Job
from tests.plugins.outcomes import FAILED, FINISHED
from tests.plugins.testbed import PLUGIN_HEADER, Platform
from tests.plugins.worker_process import WorkerProcess, wait_until_gone, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from tests.plugins.clients import MlflowReader
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness

    from dioptra_worker.tools.local import LocalStack

SOURCE = """
import ctypes


@pyplugs.register
def end(how):
    print("about to end")
    if how == "sys.exit(0)":
        sys.exit(0)
    if how == "sys.exit(3)":
        sys.exit(3)
    if how == "os._exit(0)":
        os._exit(0)
    if how == "os._exit(1)":
        os._exit(1)
    if how == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "SIGSEGV":
        ctypes.string_at(0)
    if how == "KeyboardInterrupt":
        raise KeyboardInterrupt
    if how == "swallow":
        while True:
            try:
                time.sleep(0.05)
            except Exception:
                pass
    if how == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(0.05)
    if how == "sleep":
        time.sleep(120)
    if how == "raise":
        raise LookupError("nothing under that name")


@pyplugs.register
def values(count):
    return list(range(count))


@pyplugs.register
def show(value):
    print("shown", value)


@pyplugs.register
def leave_processes():
    subprocess.Popen(["sleep", "300"])
    subprocess.Popen(["sleep", "301"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(302)
        os._exit(0)
    print("left")
"""


@pytest.fixture(
    scope="module",
    name="daemon",
    params=["fork", pytest.param("spawn", marks=pytest.mark.slow)],
)
def _daemon(
    request: pytest.FixtureRequest,
    stack: LocalStack,
    platform: Platform,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    with worker(
        stack.environment(),
        tmp_path_factory.mktemp("worker"),
        *("--isolation", request.param, platform.queue),
        settings={
            "DIOPTRA_WORKER_KILL_GRACE": "1",
            "DIOPTRA_WORKER_STATUS_POLL": "0.5",
        },
    ) as running:
        yield running


def _submit(platform: Platform, how: str, timeout: str = "10m") -> int:
    entrypoint = platform.entrypoint(SOURCE, {"ending": {"end": [how]}})
    return platform.submit(entrypoint, timeout=timeout)


@pytest.mark.parametrize(
    ("row", "how", "words"),
    [
        ("2", "sys.exit(0)", "the job called sys.exit(0)"),
        ("2", "sys.exit(3)", "the job called sys.exit(3)"),
        ("3b", "os._exit(0)", "exit code 0 in step 'ending'"),
        ("3", "os._exit(1)", "exit code 1 in step 'ending'"),
        ("4", "SIGKILL", "killed by SIGKILL in step 'ending'"),
        ("4", "SIGSEGV", "killed by SIGSEGV in step 'ending'"),
        ("2", "KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_sudden_end(
    row: str,
    how: str,
    words: str,
    platform: Platform,
    daemon: WorkerProcess,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """A job whose process ends by itself fails at once, everywhere, with the cause."""
    job = _submit(platform, how)
    outcome = witness.outcome(job, says=words)
    assert outcome.statuses == FAILED
    assert words in platform.log(job)[-1].text, platform.text(job)
    assert "about to end" in platform.text(job)
    daemon.wait_for(f"job {job} failed")
    assert list(daemon.work_dir.glob("job-*")) == []
    fault_report.job(row, f"`{how}` in a task", outcome)
    if how == "SIGSEGV":
        assert "Fatal Python error: Segmentation fault" in platform.text(job)


def test_raising(
    platform: Platform,
    daemon: WorkerProcess,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """A task that raises fails its job, which says what and where."""
    job = _submit(platform, "raise")
    words = "LookupError: nothing under that name"
    outcome = witness.outcome(job, says="the job failed")
    assert outcome.statuses == FAILED
    assert words in outcome.line
    assert "'ending'" in outcome.line
    assert 'raise LookupError("nothing under that name")' in platform.text(job)
    assert daemon.process.poll() is None
    fault_report.job("1", "a task raises `LookupError`", outcome)


@pytest.mark.parametrize(
    ("count", "statuses", "words"),
    [
        (3, FINISHED, "3"),
        (1, FAILED, "second"),
    ],
)
def test_other_values_than_declared(
    count: int,
    statuses: tuple[str, str, str],
    words: str,
    platform: Platform,
    daemon: WorkerProcess,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """A task that returns too many values is warned of; too few fail who needs them."""
    graph = {
        "giving": {"values": [count]},
        "using": {"show": ["$giving.second"]},
    }
    entrypoint = platform.register(
        {"tasks.py": PLUGIN_HEADER + SOURCE},
        yaml.safe_dump(graph, sort_keys=False),
        outputs={"values": ("first", "second")},
    )
    job = platform.submit(entrypoint)
    outcome = witness.outcome(job, says=words)
    assert outcome.statuses == statuses, platform.text(job)
    assert daemon.process.poll() is None
    fault_report.job("1b", f"{count} for two outputs, the second one is used", outcome)


def test_a_limit_of_a_few_seconds(
    platform: Platform,
    daemon: WorkerProcess,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """A time limit is the tasks' own: what comes before them does not use it up."""
    job = _submit(platform, "return", timeout="3s")
    outcome = witness.outcome(job, says="the job finished")
    assert outcome.statuses == FINISHED
    assert daemon.process.poll() is None
    fault_report.job("15b", "time limit of 3 s for a task that takes none", outcome)


@pytest.mark.parametrize("how", ["sleep", "swallow", "deaf"])
def test_time_limit(
    how: str,
    platform: Platform,
    daemon: WorkerProcess,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """A job over its time limit is stopped, also when it will not listen."""
    job = _submit(platform, how, timeout="1s")
    words = "timed out after its limit of 1.0 s, in step 'ending'"
    outcome = witness.outcome(job, says=words)
    assert outcome.statuses == FAILED
    assert ("was killed" in platform.log(job)[-1].text) == (how == "deaf")
    assert daemon.process.poll() is None
    row, what = {
        "sleep": ("15a", "in `time.sleep`"),
        "swallow": ("15c", "`except Exception` around it"),
        "deaf": ("15c", "SIGTERM ignored"),
    }[how]
    fault_report.job(row, f"time limit of 1 s, {what}", outcome)


@pytest.mark.parametrize("command", ["stop-job", "kill-horse"])
def test_stop_command(
    command: str,
    platform: Platform,
    daemon: WorkerProcess,
    mlflow_reader: MlflowReader,
    redis_client: redis.Redis,
) -> None:
    """RQ's commands end the job: failed, MLflow KILLED, stopped in RQ."""
    job = _submit(platform, "sleep")
    platform.wait_for_line(job, "about to end")
    if command == "stop-job":
        send_stop_job_command(redis_client, str(job))
    else:
        name = Job.fetch(str(job), redis_client).worker_name
        assert name is not None
        send_kill_horse_command(redis_client, name)
    assert platform.wait(job) == "failed"
    assert "by request, in step 'ending'" in platform.log(job)[-1].text
    assert mlflow_reader.status(platform.run_id(job)) == "KILLED"
    daemon.wait_for(f"job {job} stopped")
    assert Job.fetch(str(job), redis_client).get_status() == "stopped"


def test_deleted_job(
    platform: Platform,
    daemon: WorkerProcess,
    mlflow_reader: MlflowReader,
    fault_report: FaultReport,
) -> None:
    """A running job that is deleted in the API is stopped."""
    job = _submit(platform, "sleep")
    platform.wait_for_line(job, "about to end")
    run = platform.run_id(job)
    platform.api.delete(f"/jobs/{job}")
    deleted = time.time()
    daemon.wait_for(f"job {job} dropped")
    seconds = time.time() - deleted
    assert mlflow_reader.status(run) == "KILLED"
    words = next(line for line in daemon.log.splitlines() if f"{job} dropped" in line)
    fault_report.worker(
        "16",
        "deleted while it runs",
        "the job is stopped; MLflow: KILLED",
        says=words,
        seconds=seconds,
        after="the deletion",
    )


def test_no_process_left(platform: Platform, daemon: WorkerProcess) -> None:
    """Nothing that a job has started outlives it, not even what hid from its group."""
    entrypoint = platform.entrypoint(SOURCE, {"leaving": {"leave_processes": []}})
    job = platform.submit(entrypoint)
    platform.wait_for_line(job, "left")
    during = daemon.descendants()
    assert platform.wait(job) == "finished"
    daemon.wait_for(f"job {job} finished")
    after = daemon.descendants()
    names = {pid for pid in during & after if _sleeps(pid)}
    assert wait_until_gone(names, seconds=5) == set()


BAD_PATHS = """
class Lost(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        return contents if contents is None else Path(working_dir, contents)

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return None

    @staticmethod
    def validation():
        return None


@pyplugs.register
def give(what):
    return what
"""


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere.txt", "does not exist: return the path of the file or folder"),
        ("/etc/hostname", "outside the job's folder: write below working_dir"),
        ("../..", "outside the job's folder: write below working_dir"),
        (None, "must return the path of what it wrote for 'kept', not None"),
    ],
)
def test_artifact_without_a_file(
    path: str | None,
    words: str,
    platform: Platform,
    daemon: WorkerProcess,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """A serialiser that returns no file of the job fails it with that sentence."""
    entrypoint = platform.entrypoint(
        BAD_PATHS,
        {"giving": {"give": [path]}},
        artifact_outputs={"kept": {"contents": "$giving", "task": {"name": "Lost"}}},
    )
    job = platform.submit(entrypoint)
    outcome = witness.outcome(job, says="the job failed")
    assert outcome.statuses == FAILED
    assert words in outcome.line
    assert "Traceback" not in platform.text(job)
    assert daemon.process.poll() is None
    fault_report.job("1", f"`serialize` returns {path!r}", outcome)


MISSING = """
import no_such_package_anywhere


@pyplugs.register
def never():
    pass
"""


def test_missing_package(
    platform: Platform,
    daemon: WorkerProcess,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """A package that the worker lacks is named, with what the bundle has, up front."""
    entrypoint = platform.entrypoint(MISSING, {"one": {"never": []}})
    job = platform.submit(entrypoint)
    outcome = witness.outcome(job, says="the job failed")
    assert outcome.statuses == FAILED
    text = platform.text(job)
    assert "imports 'no_such_package_anywhere'" in text
    assert "not installed in this worker's environment" in text
    assert f"{entrypoint.plugin}/tasks.py" in text
    assert "step 1 of" not in text
    assert daemon.process.poll() is None
    fault_report.job("1", "a plugin imports a package that is missing", outcome)


def test_next_job(platform: Platform, daemon: WorkerProcess) -> None:
    """After all of that the same worker runs the next job."""
    job = _submit(platform, "return")
    assert platform.wait(job) == "finished"
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 0


def _sleeps(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - a fact of Linux
            return file.read().startswith(b"sleep\x00")
    except OSError:
        return False
