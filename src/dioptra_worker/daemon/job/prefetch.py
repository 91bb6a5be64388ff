"""Begins what a job needs in any case while the API is asked whether it is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from dioptra_worker.common.background import Background
from dioptra_worker.errors import ServiceError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Job
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.supervision.forkserver.runner_process import (
        ProcessHandle,
        RunnerPipes,
    )
    from dioptra_worker.supervision.launcher import Launcher


class Prefetch:
    """A runner that waits to be told its job, and the job's record.

    A runner that nobody takes ends by itself when its socket is closed.
    """

    def __init__(self, job_id: int, *, api: DioptraApi, launcher: Launcher) -> None:
        """Begin.

        Args:
            job_id: The job.
            api: Knows its record.
            launcher: Makes its runner.
        """
        self._pool = Background("dioptra-prefetch", max_parallel=2)
        self._launcher = launcher
        self._runner: Future[tuple[ProcessHandle, RunnerPipes]] | None = None
        self._start_runner()
        self._job = self._pool.submit(api.job, job_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def runner(self, stop: JobStop) -> tuple[ProcessHandle, RunnerPipes]:
        """The runner, or another once that is taken; it is the caller's from now on.

        One that has ended meanwhile, as with its fork server or for want of memory, was
        not told its job yet: another takes its place.

        Args:
            stop: How long it may take.

        Raises:
            RunnerError: If none could be started.
            Stopped: If the worker shuts down; the runner is nobody's then.
        """
        process, pipes = self._take(stop)
        if process.ended.is_set():
            pipes.close()
            return self._take(stop)
        return process, pipes

    def job(self) -> Job | None:
        """The job's record; None when the API did not give it at once."""
        try:
            return self._job.result()
        except ServiceError:
            return None

    def _start_runner(self) -> None:
        self._runner = self._pool.submit(self._launcher.start_runner)

    def _take(self, stop: JobStop) -> tuple[ProcessHandle, RunnerPipes]:
        if self._runner is None:
            self._start_runner()
        assert self._runner is not None
        runner = stop.result(self._runner)
        self._runner = None
        return runner

    def close(self) -> None:
        """Let a runner that nobody took end."""
        if self._runner is not None:
            self._runner.add_done_callback(_close_pipes)
            self._runner = None


def _close_pipes(runner: Future[tuple[ProcessHandle, RunnerPipes]]) -> None:
    if runner.exception() is None:
        _, pipes = runner.result()
        pipes.close()
