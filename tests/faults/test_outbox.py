"""A worker is killed before it could deliver: what its job produced arrives later."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import stat
import tempfile
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins.testbed import Platform, own_platform
from tests.plugins.until import until
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

LINES = 500
SOURCE = """
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client


@pyplugs.register
def talk(folder, lines):
    client = get_authenticated_worker_client(LOG, "json")
    print("begin", flush=True)
    Path(folder, f"began-{os.environ['__JOB_ID']}-{time.time_ns()}").touch()
    while not Path(folder, "go").exists():
        time.sleep(0.02)
    for number in range(lines):
        print("line", number)
        if number % 100 == 0:
            client.jobs.append_metric_by_id(
                job_id=os.environ["__JOB_ID"],
                metric_name="seen",
                metric_value=float(number),
                metric_step=number,
            )
    sys.stdout.flush()
    Path(folder, "said").touch()
    while not Path(folder, "end").exists():
        time.sleep(0.02)
    return "kept"
"""
SETTINGS = {
    "DIOPTRA_WORKER_KILL_GRACE": "1",
    "DIOPTRA_WORKER_STATUS_POLL": "60",
    "DIOPTRA_WORKER_LOST_AFTER": "5",
}


platform = own_platform


def _submit(platform: Platform, marks: Path) -> int:
    entrypoint = platform.entrypoint(
        SOURCE,
        {"talking": {"talk": [str(marks), LINES]}},
        artifact_outputs={"kept": {"contents": "$talking", "task": {"name": "Text"}}},
    )
    return platform.submit(entrypoint)


def _worker(
    own: LocalStack, folder: Path, platform: Platform
) -> AbstractContextManager[WorkerProcess]:
    return worker(own.environment(), folder, platform.queue, settings=SETTINGS)


@contextmanager
def _lost(
    own: LocalStack, folder: Path, platform: Platform, job: int
) -> Iterator[WorkerProcess]:
    """A worker that is killed at the end of the block, in which the API is away."""
    with _worker(own, folder, platform) as running:
        platform.wait_for_line(job, "begin", seconds=90)
        own.service("api").pause()
        try:
            yield running
            running.send(signal.SIGKILL)
            running.wait()
        finally:
            own.service("api").resume()


def _journal(daemon: WorkerProcess) -> list[Path]:
    return sorted(daemon.work_dir.glob("outbox/job-*"))


def _kept_lines(daemon: WorkerProcess) -> int:
    """How many lines of output are in the journal, in a copy that is ours alone."""
    count = 0
    for folder in _journal(daemon):
        with tempfile.TemporaryDirectory() as copy:
            for path in sorted(folder.glob("log.sqlite*")):
                shutil.copy(path, copy)
            file = Path(copy, "log.sqlite")
            with contextlib.closing(sqlite3.connect(file)) as database:
                bodies = database.execute("SELECT body FROM item").fetchall()
        count += sum(b'"stdout"' in body for (body,) in bodies)
    return count


def _output(platform: Platform, job: int) -> list[str]:
    return [line.text for line in platform.log(job) if line.logger == "stdout"]


def test_killed_with_a_finished_job_undelivered(
    own: LocalStack, platform: Platform, marks: Path, tmp_path: Path
) -> None:
    """The restarted worker delivers all lines, in order and once, and the status."""
    job = _submit(platform, marks)
    with _lost(own, tmp_path, platform, job) as first:
        (marks / "go").touch()
        (marks / "end").touch()
        until(lambda: _ended(first))
        assert _kept_lines(first) >= LINES
        modes = {
            stat.S_IMODE(path.stat().st_mode)
            for folder in _journal(first)
            for path in (folder, *folder.iterdir())
        }
        assert modes == {0o700, 0o600}
    with _worker(own, tmp_path, platform) as second:
        assert platform.wait(job, seconds=120) == "finished", second.log
        until(lambda: not _journal(second))
    output = _output(platform, job)
    assert output == ["begin", *(f"line {number}" for number in range(LINES))]
    text = platform.text(job)
    assert text.count("the job finished") == 1, text
    found = platform.api.get(f"/jobs/{job}/metrics/seen/snapshots", pageLength=100)
    assert sorted(entry["step"] for entry in found["data"]) == [0, 100, 200, 300, 400]
    assert platform.content(platform.artifacts(job)["kept"]) == b"kept"
    assert len(list(marks.glob("began-*"))) == 1  # it was not run again


def test_killed_while_the_job_ran(
    own: LocalStack, platform: Platform, marks: Path, tmp_path: Path
) -> None:
    """The lines of an attempt that was lost stand before those of the next one."""
    job = _submit(platform, marks)
    with _lost(own, tmp_path, platform, job) as first:
        (marks / "go").touch()
        until((marks / "said").exists)
        until(lambda: _kept_lines(first) >= LINES)
    (marks / "end").touch()
    with _worker(own, tmp_path, platform) as second:
        assert platform.wait(job, seconds=120) == "finished", second.log
        until(lambda: not _journal(second))
    once = ["begin", *(f"line {number}" for number in range(LINES))]
    assert _output(platform, job) == once * 2
    assert "log records of attempt 1 stand above" in platform.text(job)


def test_deleted_meanwhile(
    own: LocalStack, platform: Platform, marks: Path, tmp_path: Path
) -> None:
    """The journal of a job that was deleted is removed and delivered to nobody."""
    job = _submit(platform, marks)
    with _lost(own, tmp_path, platform, job) as first:
        (marks / "go").touch()
        until(lambda: _kept_lines(first) >= LINES)
    assert _journal(first)
    platform.api.delete(f"/jobs/{job}")
    with _worker(own, tmp_path, platform) as second:
        until(lambda: not _journal(second))
        assert "Traceback" not in second.log


def test_of_a_job_that_is_over(
    own: LocalStack, platform: Platform, marks: Path, tmp_path: Path
) -> None:
    """What was left of a job that another machine has ended is delivered late."""
    job = _submit(platform, marks)
    here, there = tmp_path / "here", tmp_path / "there"
    with _lost(own, here, platform, job) as first:
        (marks / "go").touch()
        until(lambda: _kept_lines(first) >= LINES)
    (marks / "end").touch()
    with _worker(own, there, platform):
        assert platform.wait(job, seconds=120) == "finished"
    with _worker(own, here, platform) as third:
        until(lambda: not _journal(third))
    output = _output(platform, job)
    said = ["begin", *(f"line {number}" for number in range(LINES))]
    # What came late is told apart from what the attempt said that counts.
    assert sorted(line.removeprefix("[attempt 1] ") for line in output) == sorted(
        said * 2
    )
    assert any(line.startswith("[attempt 1] ") for line in output)
    assert "delivered late" in platform.text(job)
    assert platform.status(job) == "finished"


def _ended(daemon: WorkerProcess) -> list[Path]:
    return [path for path in _journal(daemon) if (path / "end.json").exists()]
