"""Begins what a job needs in any case while the API is asked whether it is ours."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from dioptra_worker.common.background import Background
from dioptra_worker.daemon.job.place import job_place
from dioptra_worker.daemon.staging.job_answers import PARALLEL_REQUESTS, JobAnswers
from dioptra_worker.errors import RunnerError, WorkerError
from dioptra_worker.protocol.messages import Start

if TYPE_CHECKING:
    from concurrent.futures import Future

    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.daemon.job.context import AttemptContext
    from dioptra_worker.daemon.job.place import JobPlace
    from dioptra_worker.supervision.forkserver.runner_process import (
        ProcessHandle,
        RunnerPipes,
    )


RECORD_TIMEOUT = 0.25
"""Seconds that a job's record has to come before a runner is told of the job."""
RUNNER_TIMEOUT = 1.0
"""Seconds that the second fork server has to hand out a runner."""
PART_OF_GAIN = 0.5
"""How much of what a job may gain is waited for, where that is longer than these."""


@dataclass(frozen=True)
class _Waiting:
    """A runner that nobody has taken yet."""

    process: ProcessHandle
    pipes: RunnerPipes
    is_told: bool = False


class Prefetch:
    """A runner, the job's place, and what the API has by the job's id.

    A job that is begun for the first time is nearly always ours: its runner is told of
    it at once, and creates the MLflow run meanwhile. Where it is not ours after all,
    that run is one that nobody knows, and is closed as such.

    A runner that nobody takes ends by itself when its socket is closed.

    Attributes:
        answers: What the API has.
        was_told: Whether a runner was told of the job, and may have begun its run.
    """

    def __init__(
        self, request: JobRequest, context: AttemptContext, *, is_new: bool
    ) -> None:
        """Begin.

        Args:
            request: The job.
            context: What attempts share.
            is_new: Whether the job seems to be begun for the first time.
        """
        self._request = request
        self._context = context
        self._pool = Background("dioptra-prefetch", max_parallel=1 + PARALLEL_REQUESTS)
        self._place: JobPlace | None = None
        self._removing_place = contextlib.ExitStack()
        # Held while a runner is told: whoever closes this knows whether one was.
        self._telling = threading.Lock()
        self._is_closed = False
        self.was_told = False
        self.answers = JobAnswers(request.job_id, api=context.api, pool=self._pool)
        self._runner: Future[_Waiting] | None = self._pool.submit(
            self._begin if is_new else self._start_runner
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def place(self, stop: JobStop) -> JobPlace:
        """Where the job runs, until `close`.

        Args:
            stop: How long it may take.

        Raises:
            UntrustedFolder: Somebody else could change what is there.
            OSError: It cannot be made.
            Stopped: If the worker shuts down.
        """
        job_user = self._context.launcher.job_user
        user = None if job_user is None else job_user.uid
        if self._runner is not None:
            with contextlib.suppress(WorkerError):  # told who takes the runner
                user = stop.result(self._runner).process.user
        return self._make_place(user)

    def runner(self, stop: JobStop) -> tuple[ProcessHandle, RunnerPipes]:
        """The runner, or another once that is taken; it is the caller's from now on.

        One that has ended meanwhile, as with its fork server or for want of memory, and
        was not told its job yet, is replaced by another.

        Args:
            stop: How long it may take.

        Raises:
            OSError: If its user cannot have the job's place.
            RunnerError: If none could be started.
            Stopped: If the worker shuts down; the runner is nobody's then.
        """
        waiting = self._take(stop)
        if waiting.process.ended.is_set() and not waiting.is_told:
            waiting.pipes.close()
            waiting = self._take(stop)
        if not waiting.is_told:
            try:
                self._tell(waiting)
            except BaseException:
                waiting.pipes.close()
                raise
        return waiting.process, waiting.pipes

    def close(self) -> None:
        """Let a runner that nobody took end, and remove the job's place."""
        with self._telling:
            if self._is_closed:
                return
            self._is_closed = True
        runner, self._runner = self._runner, None
        if runner is None:
            self._removing_place.close()
        else:
            runner.add_done_callback(self._discard)

    def _start_runner(self) -> _Waiting:
        if (learned := self._start_learned_runner()) is not None:
            return learned
        return _Waiting(*self._context.launcher.start_runner())

    def _start_learned_runner(self) -> _Waiting | None:
        """One that has what was learned, if the job is known to gain by it.

        Which job it is, its record tells; that is waited for, and not for long, only
        where a recent job of the worker's has gained by it, as the next one may.
        """
        preloading, launcher = self._context.preloading, self._context.launcher
        gain = None if preloading is None else preloading.expected_gain()
        if preloading is None or gain is None:
            return None
        longest = PART_OF_GAIN * gain
        job = self.answers.job(max(RECORD_TIMEOUT, longest))
        if job is None or not preloading.is_learned(job):
            return None
        try:
            process, pipes = launcher.start_learned_runner(
                timeout=max(RUNNER_TIMEOUT, longest)
            )
        except RunnerError:  # there is the first fork server
            return None
        launcher.let_others_end(process)
        return _Waiting(process, pipes)

    def _begin(self) -> _Waiting:
        """Start a runner and tell it of the job, before that is known to be ours."""
        waiting = self._start_runner()
        try:
            self._make_place(waiting.process.user)
        except (WorkerError, OSError, MemoryError):  # told who needs the place
            return waiting
        with self._telling:
            if not self._is_closed:
                self._tell(waiting)
        return replace(waiting, is_told=self.was_told)

    def _make_place(self, user: int | None) -> JobPlace:
        if self._place is None:
            self._place = self._removing_place.enter_context(
                job_place(self._request.job_id, self._context, user=user)
            )
        return self._place

    def _tell(self, waiting: _Waiting) -> None:
        """Tell a runner of the job; one that is not the first looks for its run."""
        pipes, user = waiting.pipes, waiting.process.user
        place, settings = self._make_place(user), self._context.settings
        place.suit(user)
        space = place.space
        again, self.was_told = self.was_told, True
        if again:
            space.address.unlink(missing_ok=True)
        pipes.send(
            Start(
                job_id=self._request.job_id,
                directory=str(space.root),
                api_url=self._context.api.url,
                log_level=settings.log_level,
                grace=settings.kill_grace,
                token=self._request.start_token,
                temporary=str(space.temporary),
                address=pipes.processes.listen(space.address, user=space.user),
                again=again,
            )
        )

    def _take(self, stop: JobStop) -> _Waiting:
        if self._runner is None:
            self._runner = self._pool.submit(self._start_runner)
        waiting = stop.result(self._runner)
        self._runner = None
        return waiting

    def _discard(self, runner: Future[_Waiting]) -> None:
        if runner.exception() is None:
            runner.result().pipes.close()
        self._removing_place.close()
