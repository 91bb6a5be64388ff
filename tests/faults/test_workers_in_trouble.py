"""A worker lacks what any job needs: its jobs are none the worse for it."""

from __future__ import annotations

import resource
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins.outcomes import FINISHED
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import times, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.plugins.clients import ApiClient
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness
    from tests.plugins.worker_process import WorkerProcess

    from dioptra_worker.tools.local import LocalStack

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="the limits are set from here"),
]

WORDS = "this worker cannot prepare jobs"


@contextmanager
def _few_descriptors(running: WorkerProcess) -> Iterator[None]:
    """Enough to take a job and talk to services, and not to supervise a runner."""
    pid = running.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 3, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def _no_folder(running: WorkerProcess) -> Iterator[None]:
    """A file is where the folder of its jobs was."""
    aside = running.work_dir.with_name("aside")
    running.work_dir.rename(aside)
    running.work_dir.touch()
    try:
        yield
    finally:
        running.work_dir.unlink()
        aside.rename(running.work_dir)


TROUBLES: dict[str, Callable[[WorkerProcess], AbstractContextManager[None]]] = {
    "descriptors": _few_descriptors,
    "folder": _no_folder,
}


@pytest.mark.parametrize("what", TROUBLES)
def test_it_goes_back_to_its_queue(
    what: str,
    api: ApiClient,
    stack: LocalStack,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """The worker says so and tries again; the job runs once that works, in one go."""
    platform = Platform(api)
    settings = times(trouble_pace=0.1)
    with worker(
        stack.environment(), tmp_path, platform.queue, settings=settings
    ) as running:
        with TROUBLES[what](running):
            stepwise = StepwiseJob(platform, tmp_path / "marks")
            running.wait_for(WORDS)
            assert running.process.poll() is None
            assert platform.status(stepwise.job) in {"queued", "started"}
        stepwise.go_on()
        outcome = witness.outcome(stepwise.job, says="line 0")
        assert outcome.statuses == FINISHED
    assert len(stepwise.runs) == stepwise.ends == 1
    fault_report.job("25c", f"a worker that lacks {what}", outcome)


def test_another_worker_takes_it(
    api: ApiClient, stack: LocalStack, tmp_path: Path
) -> None:
    """Who has all that it needs runs the job, while the other one pauses."""
    platform = Platform(api)
    environment = stack.environment()
    with (
        worker(environment, tmp_path / "poor", platform.queue) as poor,
        _few_descriptors(poor),
    ):
        stepwise = StepwiseJob(platform, tmp_path / "marks")
        poor.wait_for(WORDS)
        with worker(environment, tmp_path / "rich", platform.queue) as rich:
            stepwise.go_on()
            assert platform.wait(stepwise.job) == "finished"
            rich.wait_for(f"job {stepwise.job} finished")
    assert len(stepwise.runs) == stepwise.ends == 1
