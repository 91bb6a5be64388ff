"""One attempt at one job, from ``started`` to its final status in the REST API."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from dioptra_worker.broker.records import UnknownRun
from dioptra_worker.common.outcome import Outcome
from dioptra_worker.common.stop import BOOKS_TIMEOUT, Stopped
from dioptra_worker.common.text.humanize import duration
from dioptra_worker.common.worker_trouble import is_worker_trouble
from dioptra_worker.daemon.job.claim import Claim, claim
from dioptra_worker.daemon.job.completion import completing, undelivered
from dioptra_worker.daemon.job.prefetch import Prefetch
from dioptra_worker.daemon.job.preparation import Preparation
from dioptra_worker.daemon.job.running.supervised_run import SupervisedRun
from dioptra_worker.daemon.job.status_watch import watching_status
from dioptra_worker.daemon.outbox.journal import Journals
from dioptra_worker.engine.wording import format_exception
from dioptra_worker.errors import ServiceUnavailable, WorkerError
from dioptra_worker.supervision.job_users.left_files import named, remove_files
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
    from dioptra_worker.supervision.termination import RunnerReport

log = logging.getLogger("dioptra_worker.attempt")

CLOSE_RUN_TIMEOUT = 15.0
"""Seconds that a job's end waits for MLflow; its run is closed later if need be."""
CLOSING_INTERVAL = 0.2
"""Seconds between two looks whether recovery still closes a run of a lost attempt."""


class Attempt:
    """Drives one job, in one thread; its `JobStop` is for any other.

    Attributes:
        gives_up: Of a job that is parked, whether what waits is given up some time.
        trouble: Why this worker could not prepare the job, where that is no fault of
            the job's.
    """

    def __init__(
        self,
        request: JobRequest,
        context: AttemptContext,
        *,
        stop: JobStop,
        may_park: Callable[[], bool] = lambda: False,
        is_last_try: bool = True,
        is_noted: bool = False,
    ) -> None:
        """Prepare.

        Args:
            request: The job.
            context: What attempts share.
            stop: Whether it is to stop, and how long all may take.
            may_park: Whether another job waits for this one's end to be delivered.
            is_last_try: Whether the job fails if this worker cannot prepare it, though
                that is no fault of the job's; otherwise it is given back.
            is_noted: Whether an end of the job, or a trouble with it, is noted already.
        """
        self._is_new = request.attempt == 1 and not is_noted
        self._may_park = may_park
        self._is_last_try = is_last_try
        self._preparation: Preparation | None = None
        self.trouble = ""
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
        prefetch = Prefetch(self.request, context, is_new=self._is_new)
        self._prefetch = prefetch
        try:
            claimed = claim(
                self.request,
                api=self._api,
                leases=_PendingEnds(
                    context.leases, self._journals, self.request.attempt
                ),
                settings=context.settings,
                close_run=self._close_lost_run,
                stop=self._stop,
            )
        except BaseException:
            prefetch.close()
            raise
        if claimed.kind != "ours":
            prefetch.close()
        self._cleanup.enter_context(prefetch)
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
        except (WorkerError, OSError, MemoryError) as error:
            reason, is_ours = str(error), is_worker_trouble(error)
            if not isinstance(error, WorkerError):
                words = reason or format_exception(error)
                reason = f"the worker could not prepare the job: {words}"
                is_ours = True  # what comes of the job's data was not met here
            if is_ours and not self.has_begun:
                return self._in_trouble(reason)
            job_log.say("ERROR", reason)
            return Outcome(fate="failed", reason=reason, mlflow="FAILED")
        except Exception as error:  # a job without an end would be stuck
            log.exception("job %d broke the worker", self.request.job_id)
            reason = f"the worker has a bug: {format_exception(error)}"
            return Outcome(fate="failed", reason=reason, mlflow="FAILED")

    @property
    def has_begun(self) -> bool:
        """Whether any of the job's code has perhaps run."""
        return self._preparation is not None and self._preparation.is_handed_over

    def _in_trouble(self, reason: str) -> Outcome:
        """What becomes of a job that this worker cannot prepare."""
        self.trouble = reason
        if self._is_last_try:
            return Outcome(fate="failed", reason=reason, mlflow="FAILED")
        return Outcome(fate="given back", reason=reason, mlflow="KILLED")

    def _supervised(self, completion: Completion) -> Outcome:
        """Prepare the job and run it, side by side; each part gets those before it."""
        context, settings = self._context, self._context.settings
        job_log, prefetch = completion.job_log, self._prefetch
        assert prefetch is not None
        place = prefetch.place(self._stop)
        space = place.space
        setup = SetupDeadline(settings.setup_deadline)
        clock = JobClock(setup, limit=self.request.time_limit)
        with Preparation(
            self.request,
            context,
            job_log,
            record=completion.record,
            prefetch=prefetch,
            space=space,
            deadline=setup,
            stop=self._stop,
        ) as preparation:
            self._preparation = preparation
            run = self._cleanup.enter_context(
                SupervisedRun(
                    self.request,
                    context,
                    completion,
                    prefetch=prefetch,
                    preparation=preparation,
                    clock=clock,
                    stop=self._stop,
                )
            )
            self._run = run
            report = run.run()
        events = run.events
        # The runner says which step runs; the task graph knows whether it has it.
        outcome = context.mask.record(judge(replace(report, step=events.step)))
        if report.stop is not None and report.stop.kind == "trouble":
            outcome = self._in_trouble(outcome.reason)
        lacked = events.lacked_rights or tells_of_missing_rights(outcome.reason)
        if space.user is not None and outcome.fate == "failed" and lacked:
            job_log.say("WARNING", advice(space.user))
        with contextlib.suppress(Stopped):  # the claims run out by themselves
            self._stop.call(partial(run.claims.close, outcome.reason))
        context.health.job_peak(report.exit.peak)
        if report.leftovers:
            job_log.say("WARNING", report.leftovers)
        if words := space.leftovers():
            job_log.log_job_only("INFO", words)
        left_files = place.left_files
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
        That of a job which another worker may have is left to whoever has it.
        """
        said = report.result is not None and report.result.run_closed
        closed = said and report.exit.code == 0
        if not run_id or closed:
            return
        close = partial(
            self._close_run, run_id, outcome.mlflow, token=self.request.start_token
        )
        if self._stop.time_left is not None:
            # First the API is told what becomes of the job: a run can be closed later.
            self._cleanup.callback(close)
        elif not close() and self._stop.superseded is None:
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

    def learn_from(self, queue: str) -> None:
        """Keep what the job waited to have imported.

        Args:
            queue: Its queue.
        """
        preloading, run, prefetch = self._context.preloading, self._run, self._prefetch
        if preloading is None or run is None or prefetch is None:
            return
        record = prefetch.answers.job(timeout=0.0)  # if it has come
        preloading.learn(queue, record, run.imports, too_late=run.too_late)

    @property
    def is_settled(self) -> bool:
        """Whether there is no MLflow run of this start but one that is known."""
        if self._run is not None:
            is_unknown = self._run.may_have_unknown_run
        else:
            is_unknown = self._prefetch is not None and self._prefetch.was_told
        return not is_unknown and self._stop.superseded is None

    def _leave_unknown_run(self, status: str) -> None:
        """Say how a run is to be closed that perhaps was begun; recovery looks for it.

        That it may be there is in Redis since the job was begun. Of a job that another
        worker may have, that one says it.
        """
        if self._stop.superseded is not None:
            return
        run = UnknownRun(job_id=self.request.job_id, status=status)
        token, runs = self.request.start_token, self._context.leases.runs
        try:
            self._stop.call(
                partial(runs.record_begun, token, run), beyond=BOOKS_TIMEOUT
            )
        except (ServiceUnavailable, Stopped) as error:
            log.debug("a run that may be there is closed as one of a loss: %s", error)

    def _close_lost_run(self, run_id: str, status: str) -> None:
        """Close the MLflow run of an attempt whose worker was lost.

        Recovery closes it, too, as one that nobody knows: it does so as we say from now
        on, and what it has begun is waited for. Then no close of before comes late.

        Raises:
            ServiceUnavailable: If Redis is away.
            Stopped: If the worker shuts down, or another may have the job.
        """
        job_id, token = self.request.job_id, self.request.start_token
        take_over = partial(
            self._context.leases.runs.take_over, job_id, status, token=token
        )
        while not self._stop.call(take_over):
            self._stop.pause(CLOSING_INTERVAL)
        if self._stop.superseded is not None:
            raise Stopped
        self._close_run(run_id, status)

    def _close_run(self, run_id: str, status: str, *, token: str = "") -> bool:
        """Close an MLflow run while the job is ours, or leave that to recovery.

        Args:
            run_id: The run.
            status: How it ended.
            token: Our start's, if that has begun it.

        Returns:
            Whether it is closed.
        """
        context = self._context
        if self._stop.superseded is not None:
            return False
        timeout = context.times.get("close_run_timeout", CLOSE_RUN_TIMEOUT)
        timeout = min(timeout, self._stop.lease_left)
        try:
            if self._stop.call(
                partial(context.launcher.close_run, run_id, status, timeout=timeout)
            ):
                return True
        except Stopped:
            log.warning("MLflow did not close run %s in time", run_id)
        record = partial(
            context.leases.runs.record_known,
            run_id,
            status,
            job_id=self.request.job_id,
            token=token,
        )
        try:
            self._stop.call(record, beyond=BOOKS_TIMEOUT)
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
