"""One attempt at one job, from ``started`` to its final status in the REST API."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from dioptra_worker.broker.records import UnknownRun
from dioptra_worker.common.files.workspace import workspace
from dioptra_worker.common.outcome import Outcome
from dioptra_worker.common.stop import BOOKS_TIMEOUT, Stopped
from dioptra_worker.common.text.humanize import duration
from dioptra_worker.daemon.job.claim import Claim, claim
from dioptra_worker.daemon.job.completion import completing, undelivered
from dioptra_worker.daemon.job.prefetch import Prefetch
from dioptra_worker.daemon.job.preparation import Preparation
from dioptra_worker.daemon.job.running.supervised_run import SupervisedRun
from dioptra_worker.daemon.job.status_watch import watching_status
from dioptra_worker.daemon.outbox.journal import Journals
from dioptra_worker.engine.wording import format_exception
from dioptra_worker.errors import ServiceUnavailable, WorkerError
from dioptra_worker.supervision.job_users.left_files import (
    LeftFiles,
    named,
    remove_files,
)
from dioptra_worker.supervision.job_users.missing_rights import (
    advice,
    tells_of_missing_rights,
)
from dioptra_worker.supervision.time_limit import JobClock, SetupDeadline
from dioptra_worker.supervision.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dioptra_worker.broker.leases import Leases
    from dioptra_worker.broker.parking import Parked
    from dioptra_worker.broker.records import PendingStatus
    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.daemon.job.completion import Completion
    from dioptra_worker.daemon.job.context import AttemptContext
    from dioptra_worker.daemon.outbox.job_log import JobLog
    from dioptra_worker.protocol.messages import ModuleImported
    from dioptra_worker.supervision.termination import RunnerReport

log = logging.getLogger("dioptra_worker.attempt")

CLOSE_RUN_TIMEOUT = 15.0
"""Seconds that a job's end waits for MLflow; its run is closed later if need be."""


class Attempt:
    """Drives one job, in one thread; its `JobStop` is for any other.

    Attributes:
        gives_up: Of a job that is parked, whether what waits is given up some time.
    """

    def __init__(
        self,
        request: JobRequest,
        context: AttemptContext,
        *,
        stop: JobStop,
        may_park: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare.

        Args:
            request: The job.
            context: What attempts share.
            stop: Whether it is to stop, and how long all may take.
            may_park: Whether another job waits for this one's end to be delivered.
        """
        self._may_park = may_park
        self.gives_up = False
        self._run: SupervisedRun | None = None
        self.request = request
        self._context = context
        self._api = context.api
        self._stop = stop
        self._prefetch: Prefetch | None = None
        self._cleanup = contextlib.ExitStack()
        self._journals = Journals(context.settings.work_dir, api=context.api.url)

    def claim(self) -> Claim:
        """Make the job ours in the API; see `dioptra_worker.daemon.job.claim`."""
        context = self._context
        prefetch = Prefetch(
            self.request.job_id, api=self._api, launcher=context.launcher
        )
        try:
            claimed = claim(
                self.request,
                api=self._api,
                leases=_PendingEnds(
                    context.leases, self._journals, self.request.attempt
                ),
                settings=context.settings,
                close_run=self._close_run,
                stop=self._stop,
            )
        except BaseException:
            prefetch.close()
            raise
        if claimed.kind != "ours":
            prefetch.close()
        self._prefetch = self._cleanup.enter_context(prefetch)
        return claimed

    def run(self, claimed: Claim, *, parked: Parked | None = None) -> Outcome:
        """Run the job and deliver everything.

        Args:
            claimed: What `claim` said; the job is ours.
            parked: Since when its end could not be delivered, if that is so.

        Returns:
            How it ended. The API knows already, unless the job was given back.
        """
        waited = 0.0 if parked is None else parked.age
        patience = self._context.settings.delivery_deadline - waited
        # The outbox is closed last: what is cleaned up may still have something to say.
        with (
            completing(
                self.request,
                self._context,
                self._journals,
                claimed=claimed,
                stop=self._stop,
                may_park=self._may_park,
            ) as completion,
            self._cleanup,
        ):
            if claimed.kind == "lost":
                outcome = _told_late(claimed)
                if patience <= 0:
                    words = f"the REST API failed at it for {duration(waited)}"
                    outcome = completion.give_up_results(words) or outcome
            else:
                if claimed.words:
                    completion.job_log.say("WARNING", claimed.words)
                outcome = self._watched(completion)
            outcome = self._context.mask.record(self._unless_gone(outcome))
            match outcome.fate:
                case "given back":
                    outcome = completion.requeue(outcome)
                case "dropped":
                    completion.drop()
                case _:
                    delivered = completion.conclude(outcome)
                    if not delivered and patience <= 0 and completion.give_up_log():
                        delivered = completion.conclude(outcome)
                    outcome = self._unless_gone(outcome)
                    if not delivered and outcome.fate != "dropped":
                        parked_for = completion.outbox.parked_for
                        outcome = undelivered(outcome, parked_for)
            if outcome.fate == "parked":
                tries = 0 if parked is None else parked.tries
                completion.say_parked(tries=tries, patience=patience)
                self.gives_up = len(completion.outbox) > 0
        return outcome

    def _unless_gone(self, outcome: Outcome) -> Outcome:
        """What becomes of a job, however it ended: another's status is left alone."""
        gone = self._stop.gone
        if gone is None:
            return outcome
        return replace(outcome, fate="dropped", reason=gone.reason)

    def _watched(self, completion: Completion) -> Outcome:
        """Run the job with an eye on its status in the API."""
        job_log = completion.job_log
        try:
            with watching_status(self.request.job_id, self._context, stop=self._stop):
                return self._supervised(completion)
        except Stopped:
            reason = "the worker was shut down before the job had a runner"
            return Outcome(fate="given back", reason=reason, mlflow="KILLED")
        except WorkerError as error:
            job_log.say("ERROR", str(error))
            return Outcome(fate="failed", reason=str(error), mlflow="FAILED")
        except OSError as error:
            words = str(error) or format_exception(error)
            reason = f"the worker could not prepare the job: {words}"
            job_log.say("ERROR", reason)
            return Outcome(fate="failed", reason=reason, mlflow="FAILED")
        except Exception as error:  # a job without an end would be stuck
            log.exception("job %d broke the worker", self.request.job_id)
            reason = f"the worker has a bug: {format_exception(error)}"
            return Outcome(fate="failed", reason=reason, mlflow="FAILED")

    def _supervised(self, completion: Completion) -> Outcome:
        """Prepare the job and run it, side by side; each part gets those before it."""
        context, settings = self._context, self._context.settings
        job_log, prefetch = completion.job_log, self._prefetch
        assert prefetch is not None
        job_user = context.launcher.job_user
        # The folder is removed after the job's end is told: it may hold many files.
        space = self._cleanup.enter_context(
            workspace(
                settings.work_dir,
                self.request.job_id,
                user=None if job_user is None else job_user.uid,
            )
        )
        left_files = None
        # A spawned standby imports for the next job meanwhile, as the same user.
        if job_user is not None and settings.isolation != "spawn":
            left_files = LeftFiles(job_user.uid)
        setup = SetupDeadline(settings.setup_deadline)
        clock = JobClock(setup, limit=self.request.time_limit)
        with Preparation(
            self.request,
            context,
            job_log,
            prefetch=prefetch,
            space=space,
            deadline=setup,
            stop=self._stop,
        ) as preparation:
            run = self._cleanup.enter_context(
                SupervisedRun(
                    self.request,
                    context,
                    completion,
                    prefetch=prefetch,
                    preparation=preparation,
                    space=space,
                    clock=clock,
                    stop=self._stop,
                )
            )
            self._run = run
            report = run.run()
        events = run.events
        # The runner says which step runs; the task graph knows whether it has it.
        outcome = context.mask.record(judge(replace(report, step=events.step)))
        lacked = events.lacked_rights or tells_of_missing_rights(outcome.reason)
        if job_user is not None and outcome.fate == "failed" and lacked:
            job_log.say("WARNING", advice(job_user.uid))
        with contextlib.suppress(Stopped):  # the claims run out by themselves
            self._stop.call(partial(run.claims.close, outcome.reason))
        context.health.job_peak(report.exit.peak)
        if report.leftovers:
            job_log.say("WARNING", report.leftovers)
        if words := space.leftovers():
            job_log.log_job_only("INFO", words)
        if left_files is not None and (paths := left_files.find()):
            words = f"removed what the job left where anybody writes: {named(paths)}"
            job_log.log_job_only("INFO", words)
            self._cleanup.callback(self._remove_files, paths)
        self._close_open_run(report, outcome, events.run_id, job_log)
        if run.may_have_unknown_run:
            self._cleanup.callback(self._leave_unknown_run, outcome.mlflow)
        return outcome

    def _close_open_run(
        self,
        report: RunnerReport,
        outcome: Outcome,
        run_id: str | None,
        job_log: JobLog,
    ) -> None:
        """Close an MLflow run that the runner left open.

        What says that it is closed may be a plugin, which the worker then had to kill.
        """
        said = report.result is not None and report.result.run_closed
        closed = said and report.exit.code == 0
        if run_id and not closed and self._stop.time_left is not None:
            # First the API is told what becomes of the job: a run can be closed later.
            self._cleanup.callback(self._close_run, run_id, outcome.mlflow)
        elif run_id and not closed and not self._close_run(run_id, outcome.mlflow):
            words = (
                f"MLflow run {run_id} is not closed yet; it will be when MLflow is back"
            )
            job_log.say("WARNING", words)

    def _remove_files(self, paths: list[Path]) -> None:
        """Remove what the job's user has left, before the next job can see it."""
        if self._stop.time_left is not None:
            return  # the fork server ends, and all that its user has goes
        if stuck := remove_files(paths):
            log.warning(
                "job %d: what it left could not be removed: %s",
                self.request.job_id,
                named(stuck),
            )

    @property
    def imports(self) -> list[ModuleImported]:
        """What the job waited to have imported."""
        return [] if self._run is None else self._run.imports

    @property
    def settled(self) -> str:
        """The start's token if there is no MLflow run but one that is known."""
        is_unknown = self._run is not None and self._run.may_have_unknown_run
        return "" if is_unknown else self.request.start_token

    def _leave_unknown_run(self, status: str) -> None:
        """Say how a run is to be closed that perhaps was begun; recovery looks for it.

        That it may be there is in Redis since the job was begun.
        """
        run = UnknownRun(job_id=self.request.job_id, status=status)
        token, leases = self.request.start_token, self._context.leases
        try:
            self._stop.call(
                partial(leases.record_unknown_run, token, run), beyond=BOOKS_TIMEOUT
            )
        except (ServiceUnavailable, Stopped) as error:
            log.debug("a run that may be there is closed as one of a loss: %s", error)

    def _close_run(self, run_id: str, status: str) -> bool:
        """Close an MLflow run, or leave that to recovery; whether it is closed."""
        context = self._context
        timeout = context.times.get("close_run_timeout", CLOSE_RUN_TIMEOUT)
        try:
            if self._stop.call(
                partial(context.launcher.close_run, run_id, status, timeout=timeout)
            ):
                return True
        except Stopped:
            log.warning("MLflow did not close run %s in time", run_id)
        try:
            self._stop.call(
                partial(context.leases.record_open_run, run_id, status),
                beyond=BOOKS_TIMEOUT,
            )
        except (ServiceUnavailable, Stopped) as error:
            log.warning("MLflow run %s stays open: %s", run_id, error)
        return False


@dataclass(frozen=True)
class _PendingEnds:
    """The ends that the API has yet to be told, in Redis and on this machine."""

    leases: Leases
    journals: Journals
    attempt: int

    def pending_status(self, job_id: int) -> PendingStatus | None:
        """How a job ended, if the API was not told."""
        pending = self.leases.pending_status(job_id)
        return pending or self.journals.final_status_of(job_id, attempt=self.attempt)


def _told_late(claimed: Claim) -> Outcome:
    """The end of a job whose worker was lost."""
    finished = claimed.status == "finished"
    return Outcome(
        fate="finished" if finished else "failed",
        reason="" if finished else claimed.words,
        mlflow="FINISHED" if finished else "FAILED",
    )
