"""Runs a prepared job in a runner, under supervision, until that has ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from dioptra_worker.common.stop import Stopped
from dioptra_worker.daemon.job.running.events import RunnerEvents
from dioptra_worker.daemon.job.running.requests import (
    BatchClaimHandler,
    SessionHandler,
)
from dioptra_worker.errors import RunnerError
from dioptra_worker.protocol.messages import (
    BatchClaimRequest,
    ModuleImported,
    SessionRequest,
    VariableTooLate,
)
from dioptra_worker.supervision.supervisor import Supervisor
from dioptra_worker.supervision.termination import GracePeriods, RunnerReport
from dioptra_worker.supervision.verdict import judge

if TYPE_CHECKING:
    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.daemon.job.completion import Completion
    from dioptra_worker.daemon.job.context import AttemptContext
    from dioptra_worker.daemon.job.prefetch import Prefetch
    from dioptra_worker.daemon.job.preparation import Preparation
    from dioptra_worker.protocol.messages import Message
    from dioptra_worker.supervision.forkserver.runner_process import RunnerPipes
    from dioptra_worker.supervision.time_limit import JobClock


class SupervisedRun:
    """One job's run, in one process or, if that is lost at once, in another.

    What has become of code of the job's that has run, nobody knows: such a run is never
    begun again here. Before that, a process that is lost was the worker's alone, and
    whatever killed it seldom kills the next one, too.

    Attributes:
        claims: Claims batch elements for the job.
        events: What the job has said.
        imports: What it waited to have imported, and what was there already.
        too_late: A variable that it set too late for what was; empty for none.
    """

    def __init__(
        self,
        request: JobRequest,
        context: AttemptContext,
        completion: Completion,
        *,
        prefetch: Prefetch,
        preparation: Preparation,
        clock: JobClock,
        stop: JobStop,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            request: The job.
            context: What attempts share.
            completion: Has the job's log and its outbox.
            prefetch: Has its runner.
            preparation: Brings its plan.
            clock: Says until when it may run.
            stop: Whether it is to stop.
        """
        self._request = request
        self._context = context
        self._log = completion.job_log
        self._prefetch = prefetch
        self._preparation = preparation
        self._clock = clock
        self._stop = stop
        self._pipes: RunnerPipes | None = None
        self._lost_without_run = False
        self._sessions = SessionHandler(context.api, self._send, mask=context.mask)
        self.claims = BatchClaimHandler(
            context.leases,
            self._send,
            job_id=request.job_id,
            job_log=self._log,
            prepared=preparation.prepared,
        )
        self.imports: list[ModuleImported] = []
        self.too_late = ""
        self.events = RunnerEvents(
            job_log=self._log,
            outbox=completion.outbox,
            clock=clock,
            health=context.health,
            prepared=preparation.prepared,
            handlers={
                SessionRequest: self._sessions.handle,
                BatchClaimRequest: self.claims.handle,
                ModuleImported: self.imports.append,
                VariableTooLate: self._set_too_late,
            },
            mask=context.mask,
            record=completion.record,
            log_level=context.settings.log_level,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sessions.close()
        if self._pipes is not None:  # the supervisor does so, too, if it came to that
            self._pipes.close()

    @property
    def may_have_unknown_run(self) -> bool:
        """Whether there may be an MLflow run of this start whose id nobody was told."""
        if not self._prefetch.was_told:
            return False
        is_unsure = self._lost_without_run or self.events.has_waited_for_mlflow
        return self.events.run_id is None or is_unsure

    def run(self) -> RunnerReport:
        """Run it; what was seen of its last process.

        Raises:
            RunnerError: If there is no process for it.
            Stopped: If the worker shuts down before there is one.
        """
        report = self._run_once()
        if not self._is_lost_before_its_code(report):
            return report
        self._lost_without_run = self.events.run_id is None
        words = "none of the job's code has run, so it is begun again"
        self._log.say("WARNING", f"{judge(report).reason}; {words}")
        try:
            return self._run_once()
        except (RunnerError, Stopped):
            return replace(report, stop=self._stop.requested)

    def _is_lost_before_its_code(self, report: RunnerReport) -> bool:
        """Whether a process was lost before anything but our own code ran in it."""
        was_stopped = self._stop.requested is not None or report.abandoned
        has_begun = report.took_plan or report.result is not None
        return not was_stopped and not has_begun

    def _run_once(self) -> RunnerReport:
        process, pipes = self._prefetch.runner(self._stop)
        self._pipes = pipes
        supervisor = Supervisor(
            self._context.launcher,
            process,
            pipes,
            listener=self.events,
            stop=self._stop,
            deadline=self._clock,
            grace_periods=GracePeriods(grace=self._context.settings.kill_grace),
        )
        self._preparation.hand_over_to(supervisor, pipes, self._clock)
        with self._stop.running():
            return supervisor.run()

    def _set_too_late(self, message: VariableTooLate) -> None:
        self.too_late = message.name

    def _send(self, message: Message) -> None:
        """Answer the process that runs now."""
        if self._pipes is not None:
            self._pipes.send(message)
