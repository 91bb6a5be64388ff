"""Memory, disk and kernel against a job: it ends with that as its cause."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rq.command import send_stop_job_command
from tests.plugins.outcomes import FAILED, FINISHED
from tests.plugins.scene import Scene
from tests.plugins.small_disk import may_mount, small_disk
from tests.plugins.until import PATIENCE, until
from tests.plugins.worker_process import times, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

CONTROLLERS = Path("/sys/fs/cgroup")
MIB = 1 << 20


def _writable(controller: str) -> bool:
    folder = CONTROLLERS / controller
    return (folder / "cgroup.procs").exists() and os.access(folder, os.W_OK)


@contextmanager
def _group(controller: str) -> Iterator[Path]:
    """A control group (version 1) of our own."""
    folder = CONTROLLERS / controller / f"dioptra-worker-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        until(lambda: not (folder / "cgroup.procs").read_text().strip())
        folder.rmdir()


OOM = """
@pyplugs.register
def grow():
    print("about to grow")
    everything = []
    while True:
        everything.append(bytearray(os.urandom(1)) * (8 << 20))
"""


@pytest.mark.skipif(
    not _writable("memory"), reason="needs a memory controller of version 1, and root"
)
def test_out_of_memory(
    stack: LocalStack,
    platform: Platform,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job that the kernel kills for its memory is told so, with peak and limit."""
    with (
        _group("memory") as group,
        worker(stack.environment(), tmp_path, platform.queue) as running,
    ):
        (group / "memory.limit_in_bytes").write_text(str(400 * MIB))
        for pid in {running.process.pid, *running.descendants()}:
            with suppress(ProcessLookupError):  # it has just ended
                (group / "cgroup.procs").write_text(str(pid))
        scene = Scene(platform, running)
        job = platform.submit(platform.entrypoint(OOM, {"growing": {"grow": []}}))
        outcome = witness.outcome(job, says="the job failed")
        assert outcome.statuses == FAILED, platform.text(job)
        assert "killed by SIGKILL in step 'growing' after" in outcome.line
        assert "of 400 MiB: very likely out of memory" in outcome.line
        fault_report.job("19", "killed by the kernel for its memory", outcome)
        scene.assert_clean()


FROZEN = """
@pyplugs.register
def wait(folder):
    Path(folder, "pid").write_text(str(os.getpid()))
    print("here")
    time.sleep(3000)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    not _writable("freezer"), reason="needs a freezer controller of version 1, and root"
)
def test_a_process_that_nothing_ends(
    stack: LocalStack,
    platform: Platform,
    witness: Witness,
    redis_client: redis.Redis,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job whose process the kernel holds ends without it, and the next one runs."""
    with (
        _group("freezer") as group,
        worker(
            stack.environment(),
            tmp_path,
            platform.queue,
            settings={"DIOPTRA_WORKER_KILL_GRACE": "1"},
        ) as running,
    ):
        scene = Scene(platform, running, standby=True)  # what is left counts as one
        entrypoint = platform.entrypoint(FROZEN, {"waiting": {"wait": [str(tmp_path)]}})
        job = platform.submit(entrypoint)
        platform.wait_for_line(job, "here", seconds=PATIENCE)
        (group / "cgroup.procs").write_text((tmp_path / "pid").read_text())
        (group / "freezer.state").write_text("FROZEN")
        try:
            send_stop_job_command(redis_client, str(job))
            outcome = witness.outcome(job, says="the job was stopped", seconds=150)
            assert (outcome.api, outcome.mlflow) == ("failed", "KILLED")
            assert "could not be ended, not even by SIGKILL" in outcome.line
            assert "the system holds it" in running.log
            fault_report.job("4", "not even SIGKILL ends the process", outcome)
            scene.assert_clean()
        finally:
            (group / "freezer.state").write_text("THAWED")


FILL = """
@pyplugs.register
def fill(path):
    with open(path, "wb") as file:
        while True:
            file.write(bytes(1 << 16))
"""
FINE = """
@pyplugs.register
def fine():
    print("fine")
"""


@pytest.mark.skipif(not may_mount(), reason="needs to mount a small disk, as root")
def test_a_full_disk(
    stack: LocalStack,
    platform: Platform,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job that fills the disk fails; one that comes to a full disk is tried again."""
    with (
        small_disk(tmp_path / "disk", "3m") as disk,
        worker(
            stack.environment(),
            tmp_path,
            platform.queue,
            settings={"DIOPTRA_WORKER_WORK_DIR": str(disk)},
        ) as running,
    ):
        running.work_dir = disk
        scene = Scene(platform, running)
        filling = platform.entrypoint(FILL, {"filling": {"fill": ["everything"]}})
        outcome = witness.outcome(platform.submit(filling), says="the job failed")
        assert outcome.statuses == FAILED
        assert "No space left on device" in outcome.line
        fault_report.job("25a", "a task fills the disk", outcome)
        scene.assert_clean()

        with (disk / "other").open("wb") as file:
            free = os.statvfs(disk)
            file.write(bytes((free.f_bavail - 1) * free.f_frsize))
        fine = platform.entrypoint(FINE, {"fine": {"fine": []}})
        job = platform.submit(fine)
        running.wait_for("this worker cannot prepare jobs")
        assert "No space left on device" in running.log
        (disk / "other").unlink()
        outcome = witness.outcome(job, says="the job finished")
        assert outcome.statuses == FINISHED
        fault_report.job("25b", "4 KB left at the start, for a while", outcome)
        scene.assert_clean()


TEMPORARY = """
import tempfile


@pyplugs.register
def keep():
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"something")
        print("kept in", file.name)
"""


def test_a_temporary_folder_that_is_missing(
    stack: LocalStack,
    platform: Platform,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A TMPDIR that is not there costs no job, and the worker says that it is not."""
    missing = tmp_path / "missing"
    with worker(
        stack.environment(),
        tmp_path,
        platform.queue,
        settings={"TMPDIR": str(missing)},
    ) as running:
        scene = Scene(platform, running)
        job = platform.submit(platform.entrypoint(TEMPORARY, {"one": {"keep": []}}))
        outcome = witness.outcome(job, says="kept in")
        assert outcome.statuses == FINISHED
        running.wait_for(f"TMPDIR names {missing}, which cannot be written")
        fault_report.job("25c", "TMPDIR names a folder that is missing", outcome)
        scene.assert_clean()


@pytest.mark.timeout(300)  # with a report of faults, pauses are as long as in earnest
def test_a_work_folder_that_goes(
    stack: LocalStack, platform: Platform, witness: Witness, tmp_path: Path
) -> None:
    """A work folder that is missing is made; a job for which it never can be fails."""
    folder = {"DIOPTRA_WORKER_WORK_DIR": str(tmp_path / "not" / "yet")}
    with worker(
        stack.environment(),
        tmp_path,
        platform.queue,
        settings={**folder, **times(trouble_pace=0.02)},
    ) as running:
        running.work_dir = tmp_path / "not" / "yet"
        scene = Scene(platform, running)
        scene.assert_clean()
        shutil.rmtree(tmp_path / "not")
        scene.assert_clean()
        shutil.rmtree(tmp_path / "not")
        (tmp_path / "not").write_text("a file is in the way")
        entrypoint = platform.entrypoint(FINE, {"fine": {"fine": []}})
        job = platform.submit(entrypoint)
        outcome = witness.outcome(job, says="the job failed", seconds=2 * PATIENCE)
        assert (outcome.api, outcome.rq) == ("failed", "failed")
        assert str(tmp_path / "not") in outcome.line
        (tmp_path / "not").unlink()
        scene.assert_clean()
