"""How what an attempt produced, and at last its end, reaches the REST API."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dioptra_worker.broker.parking import pause
from dioptra_worker.broker.records import PendingStatus
from dioptra_worker.common.network.backoff import FOREVER, retry_until_available
from dioptra_worker.common.outcome import Outcome
from dioptra_worker.common.stop import Stopped
from dioptra_worker.common.text.humanize import duration
from dioptra_worker.daemon.job.heartbeat import taken_over
from dioptra_worker.daemon.outbox.job_log import JobLog
from dioptra_worker.daemon.outbox.outbox import Outbox
from dioptra_worker.daemon.outbox.patience import PARK_AFTER, Patience
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.daemon.job.claim import Claim
    from dioptra_worker.daemon.job.context import AttemptContext
    from dioptra_worker.daemon.outbox.journal import Journal, Journals
    from dioptra_worker.protocol.messages import Severity

log = logging.getLogger("dioptra_worker.delivery")

_API_AWAY = "; the API is away, and another worker will tell it"


@contextlib.contextmanager
def completing(
    request: JobRequest,
    context: AttemptContext,
    journals: Journals,
    *,
    claimed: Claim,
    stop: JobStop,
    may_park: Callable[[], bool],
) -> Iterator[Completion]:
    """Open what an attempt's results and its end are delivered through.

    Built in this order, each with what is there already, and closed in reverse: the
    journal, the job's log, the outbox.

    Args:
        request: The job.
        context: What attempts share.
        journals: Where to keep what is not delivered.
        claimed: Whether the job is run, or only told its end.
        stop: How long the delivery may take; told when the API no longer knows the
            job.
        may_park: Whether another job waits for this one's end to be delivered.
    """
    journal = journals.open(
        job_id=request.job_id,
        experiment_id=request.experiment_id,
        attempt=request.attempt,
        worker=request.worker,
    )
    pace = context.times.get("retry_pace", 1.0)
    patience = Patience(context.api.ping, may_park=may_park, pace=pace)
    pending = claimed.pending
    # A journal that has that end has what goes with it, too, but for what is delivered.
    is_known_here = journal is not None and journal.final_status == pending
    # Before the queues are made: they begin with what the journal has.
    words = "" if journal is None else _take_over(journal, request, claimed)
    with (
        journal or contextlib.nullcontext(),
        JobLog(
            context.api,
            request.job_id,
            mask=context.mask,
            stop=stop,
            patience=patience,
            journal=journal,
            pace=pace,
        ) as job_log,
        Outbox(
            context.api,
            job_log,
            job_id=request.job_id,
            experiment_id=request.experiment_id,
            stop=stop,
            patience=patience,
            journal=journal,
            pace=pace,
        ) as outbox,
    ):
        context.health.outbox(outbox)
        if words:
            job_log.say("WARNING", words)
        if pending is not None:
            _take_up(pending, outbox, is_known_here=is_known_here)
        known = pending if pending is not None and pending.line else None
        yield Completion(request, context, stop, journal, job_log, outbox, known)


class Completion:
    """How one attempt's job ends.

    Attributes:
        job_log: The job's log.
        outbox: Takes what the job produces.
    """

    def __init__(
        self,
        request: JobRequest,
        context: AttemptContext,
        stop: JobStop,
        journal: Journal | None,
        job_log: JobLog,
        outbox: Outbox,
        known: PendingStatus | None = None,
    ) -> None:
        """Prepare.

        Args:
            request: The job.
            context: What attempts share.
            stop: How long it may take.
            journal: Keeps what is not delivered, if there is one.
            job_log: The job's log.
            outbox: Takes what the job produces.
            known: The end, with its last line, that another worker noted and could not
                deliver, if there is one.
        """
        self._known = known
        self.job_log = job_log
        self.outbox = outbox
        self._request = request
        self._context = context
        self._stop = stop
        self._journal = journal

    def conclude(self, outcome: Outcome) -> bool:
        """Deliver the rest and the status, having noted that it is under way.

        Args:
            outcome: How the job ended.

        Returns:
            Whether all of it is delivered.
        """
        # Both places know the end, with its last line and its artifacts, before any of
        # it is told: a worker that is lost meanwhile has not ended the job in vain, and
        # whoever tells it tells the same. And nobody makes another attempt at a job
        # with an end, so what is registered from now on is registered of one only.
        severity: Severity = "INFO" if outcome.fate == "finished" else "ERROR"
        again = self._known is not None
        end = self._known or self._end(outcome, severity)
        if self._journal is not None:
            self._journal.record_final_status(end)
        if self._is_recorded(end):
            self.outbox.release_artifacts()
        elif self.outbox.holds_artifacts:
            self._finish(None)
            return False
        return self._finish(
            end.status,
            partial(self.job_log.put_end, severity, end.line, again=again),
        )

    def _end(self, outcome: Outcome, severity: Severity) -> PendingStatus:
        """What becomes of the job, and all that goes with it."""
        match outcome.fate:
            case "finished":
                words = "the job finished"
            case "stopped":
                words = f"the job was stopped: {outcome.reason}"
            case _:
                words = f"the job failed: {outcome.reason}"
        return self.outbox.add_results(
            PendingStatus(
                job_id=self._request.job_id,
                experiment_id=self._request.experiment_id,
                status="finished" if outcome.fate == "finished" else "failed",
                reason=outcome.reason,
                line=self.job_log.end_line(severity, words),
            )
        )

    def _is_recorded(self, end: PendingStatus) -> bool:
        """Whether Redis knows an end, and that the job is ours.

        For artifacts it is waited for that, as long as the job can be ours.
        """
        if self._stop.superseded is not None:  # though the lease may be free just now
            return False
        record = partial(self._context.leases.record_pending_status, end, self._stop)
        pace = self._context.times.get("retry_pace", 1.0)

        def pause(seconds: float) -> None:
            self._stop.pause(min(seconds * pace, self._stop.lease_left))
            if self._stop.superseded is not None:
                raise Stopped

        try:
            holder = retry_until_available(
                lambda: self._stop.call(record),
                seconds=FOREVER if self.outbox.holds_artifacts else 0.0,
                sleep=pause,
                on_wait=self._say_what_waits,
            )
        except (ServiceUnavailable, Stopped) as error:
            log.debug("the status is on this machine only: %s", error)
            return False
        if holder is not None:
            self._stop.request(taken_over(holder))
        return holder is None

    def _say_what_waits(self, error: ServiceUnavailable) -> None:
        words = "artifacts are registered once Redis knows that the job has ended"
        self.job_log.say("WARNING", f"{words}: {error}")

    def give_up_results(self, words: str) -> Outcome | None:
        """Give up what could not be delivered for too long.

        Args:
            words: Why.

        Returns:
            How the job ends now; None for as before.
        """
        if self._known is not None and self._is_recorded(self._known):
            self.outbox.release_artifacts()
        count = self.outbox.give_up_results(words)
        if not count or self._stop.superseded is not None:
            return None
        if self._journal is not None:
            self._journal.ack_final_status()
        self._known = None  # there is another end now
        reason = f"{count:,} results of the job could not be delivered: {words}"
        return Outcome(fate="failed", reason=reason, mlflow="FAILED")

    def give_up_log(self) -> bool:
        """Give up the log if it is what the API fails at; whether it is."""
        if self.outbox.parked_for is None or not len(self.job_log):
            return False
        self.outbox.give_up_log(str(self.outbox.parked_for))
        return True

    def requeue(self, outcome: Outcome) -> Outcome:
        """Set the job back to ``queued``, or fail it where the settings say so."""
        if self._context.settings.on_interruption == "fail":
            outcome = replace(outcome, fate="failed")
            delivered = self.conclude(outcome)
        else:
            self.outbox.discard_artifacts()
            words = f"the job is given back: {outcome.reason}"
            self.job_log.say("WARNING", words)
            delivered = self._finish("reset")
        return outcome if delivered else undelivered(outcome, self.outbox.parked_for)

    def say_parked(self, *, tries: int, patience: float) -> None:
        """Say why the job is parked and what becomes of it, where that can be said.

        Args:
            tries: How often it was parked before.
            patience: Seconds until what waits is given up.
        """
        words = parked_words(self.outbox.parked_for, tries=tries)
        if len(self.outbox):
            left = duration(max(0.0, patience))
            words += f"; what is not taken in {left} is given up"
        self.job_log.log_job_only("WARNING", words)
        self.job_log.drain(PARK_AFTER)

    def drop(self) -> None:
        """Deliver the rest of the log, and leave the status alone.

        It is a person's, who has set it. Of a job that another worker may have nothing
        is delivered: what is in the journal is another's to judge
        (`daemon.recovery.orphaned_outboxes`).
        """
        gone = self._stop.gone
        if self._stop.superseded is None:
            self.outbox.discard_results()
            if gone is not None and gone.status:
                self.job_log.say("WARNING", f"the job was stopped: {gone.reason}")
        self._finish(None)

    def _finish(
        self, status: str | None, last_line: Callable[[], object] = lambda: None
    ) -> bool:
        delivered = self.outbox.finish(status, last_line=last_line)
        is_told = delivered and not self.outbox.holds_artifacts
        over = is_told or self._stop.superseded is not None
        if over and self._journal is not None:
            self._journal.ack_final_status()
        return delivered


def _take_over(journal: Journal, request: JobRequest, claimed: Claim) -> str:
    """Go on with what a lost worker left; what to say of it."""
    before, lines = journal.about, journal.lines
    if claimed.kind == "ours":
        journal.hand_over(attempt=request.attempt, worker=request.worker)
    elif claimed.run_id not in {"", before.run_id}:  # of yet another attempt
        journal.discard_results()
    if not lines:
        return ""
    return (
        f"{lines:,} log records of attempt {before.attempt} stand above that worker"
        f" {before.worker!r} was lost with"
    )


def _take_up(end: PendingStatus, outbox: Outbox, *, is_known_here: bool) -> None:
    """Go on with an end that its worker has not told, or not to its end.

    Its last line comes after all results: where it is said, none of them is sent again.
    What failed at it would be given up at last, and the job have a second end.

    Args:
        end: The end.
        outbox: Takes the results that go with it.
        is_known_here: Whether the outbox has those already, by its journal.
    """
    if end.line and outbox.is_said(end.line):
        outbox.discard_results()
    elif not is_known_here:
        outbox.put_results(end)


def parked_words(error: object, *, tries: int) -> str:
    """What the log of a job that is parked says.

    Args:
        error: At what the API fails.
        tries: How often it was parked before.
    """
    return (
        f"this job is parked and others are run: the REST API fails at it and works"
        f" otherwise ({error}); it is tried again in {duration(pause(tries))}"
    )


def undelivered(outcome: Outcome, parked_for: ServiceUnavailable | None) -> Outcome:
    """What it is when the API could not be told.

    Args:
        outcome: How the job ended.
        parked_for: At what the API failed, if it works otherwise.
    """
    if parked_for is not None:
        return replace(outcome, fate="parked", reason=str(parked_for))
    return replace(outcome, fate="left", reason=f"{outcome.reason}{_API_AWAY}")
