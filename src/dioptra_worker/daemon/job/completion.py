"""How what an attempt produced, and at last its end, reaches the REST API."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from dioptra_worker.broker.parking import pause
from dioptra_worker.broker.records import PendingStatus
from dioptra_worker.common.network.backoff import FOREVER, retry_until_available
from dioptra_worker.common.outcome import Outcome
from dioptra_worker.common.stop import Stopped
from dioptra_worker.common.text.humanize import duration
from dioptra_worker.daemon.job.heartbeat import taken_over
from dioptra_worker.daemon.job.manifest import Sealing
from dioptra_worker.daemon.outbox.job_log import JobLog
from dioptra_worker.daemon.outbox.outbox import Outbox
from dioptra_worker.daemon.outbox.patience import PARK_AFTER, Patience
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.supervision.record.chains import LogChain
from dioptra_worker.supervision.record.job_record import JobRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.daemon.job.claim import Claim
    from dioptra_worker.daemon.job.context import AttemptContext
    from dioptra_worker.daemon.outbox.journal import Journal, Journals
    from dioptra_worker.protocol.messages import Severity

log = logging.getLogger("dioptra_worker.delivery")

TOLD_TIMEOUT = 5.0
"""Seconds that a job which has ended waits for Redis to know that it is told."""
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
        start_token=request.start_token,
    )
    pace = context.times.get("retry_pace", 1.0)
    patience = Patience(context.api.ping, may_park=may_park, pace=pace)
    pending = claimed.pending
    # A journal that has that end has what goes with it, too, but for what is delivered.
    is_known_here = journal is not None and journal.final_status == pending
    chain = LogChain(
        worker=request.worker,
        attempt=request.attempt,
        before=() if journal is None else journal.left_segments(),
    )
    record = JobRecord()
    if journal is not None:
        journal.chain = chain
    if journal is not None:
        _remember_run(journal, request, context, stop)
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
            chain=chain,
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
            metrics=record.metrics,
            pace=pace,
        ) as outbox,
    ):
        context.health.outbox(outbox)
        if words:
            job_log.say("WARNING", words)
        if pending is not None and pending.is_told:
            outbox.discard_results()  # they are delivered
        elif pending is not None and not is_known_here:
            outbox.put_results(pending)
        known = pending if pending is not None and pending.line else None
        attempt = request.attempt if claimed.kind == "ours" else 0
        yield Completion(
            request,
            context,
            stop,
            journal,
            job_log,
            outbox,
            Sealing(request, context, record, chain),
            known,
            attempt=attempt,
        )


class Completion:
    """How one attempt's job ends.

    Attributes:
        job_log: The job's log.
        outbox: Takes what the job produces.
        record: Is told what the job's manifest has to say.
    """

    def __init__(
        self,
        request: JobRequest,
        context: AttemptContext,
        stop: JobStop,
        journal: Journal | None,
        job_log: JobLog,
        outbox: Outbox,
        sealing: Sealing,
        known: PendingStatus | None = None,
        *,
        attempt: int = 0,
    ) -> None:
        """Prepare.

        Args:
            request: The job.
            context: What attempts share.
            stop: How long it may take.
            journal: Keeps what is not delivered, if there is one.
            job_log: The job's log.
            outbox: Takes what the job produces.
            sealing: Makes the job's manifest.
            known: The end, with its last line, that another worker noted and could not
                deliver, if there is one.
            attempt: The attempt at the job that this is; 0 when it is only told its
                end.
        """
        self._attempt = attempt
        self._known = known
        self.job_log = job_log
        self.outbox = outbox
        self.record = sealing.record
        self._sealing = sealing
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
        self._sealing.close_log()  # so that its last line is later than all in it
        end = self._known or self._end(outcome, severity)
        if not again and (words := self._sealing.seal(end)):
            self.job_log.log_job_only("INFO", words)
        if self._journal is not None:
            self._journal.record_final_status(end)
        seconds = FOREVER if self.outbox.holds_artifacts else 0.0
        is_recorded = self._record(end, seconds=seconds) == "recorded"
        if is_recorded:
            self.outbox.release_artifacts()
        elif self.outbox.holds_artifacts:
            self._finish(None)
            return False

        def say_end() -> bool:
            if not self._may_be_told(end, is_known=is_recorded or again):
                return False
            self.job_log.put_end(severity, end.line, again=again)
            return True

        is_delivered = self._finish(end.status, say_end)
        if is_delivered:
            self._sealing.store()
        return is_delivered

    def _may_be_told(self, end: PendingStatus, *, is_known: bool) -> bool:
        """Whether the last line may be said, now that all results are delivered.

        Redis and the journal learn so before: who has to tell this end after us must
        know whether it can still become another. But where Redis is away the job has
        to end while it is ours: another attempt would give its results once more.

        Args:
            end: The end.
            is_known: Whether others may know it, so that they have to learn that, too.
        """
        if end.is_told:
            return True
        told = replace(end, is_told=True)
        seconds = min(TOLD_TIMEOUT, self._stop.lease_left / 2) if is_known else 0.0
        if self._record(told, seconds=seconds) == "not ours" and is_known:
            return False
        if self._journal is not None:
            self._journal.record_final_status(told)
        if self._known is not None:
            self._known = told
        return True

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
                attempt=self._attempt,
            )
        )

    def _record(
        self, end: PendingStatus, *, seconds: float
    ) -> Literal["recorded", "away", "not ours"]:
        """Have Redis know an end, if the job is ours.

        Args:
            end: The end.
            seconds: How long to wait for Redis, as long as the job can be ours.

        Returns:
            Whether Redis knows it, is away, or the job is not ours to end, be it that
            we are to stop.
        """
        if self._stop.superseded is not None:  # though the lease may be free just now
            return "not ours"
        record = partial(self._context.leases.record_pending_status, end, self._stop)
        pace = self._context.times.get("retry_pace", 1.0)

        def pause(seconds: float) -> None:
            self._stop.pause(min(seconds * pace, self._stop.lease_left))
            if self._stop.superseded is not None:
                raise Stopped

        try:
            holder = retry_until_available(
                lambda: self._stop.call(record),
                seconds=seconds,
                sleep=pause,
                on_wait=self._say_what_waits,
            )
        except ServiceUnavailable as error:
            log.debug("the status is on this machine only: %s", error)
            return "away"
        except Stopped:
            return "not ours"
        if holder is None:
            return "recorded"
        self._stop.request(taken_over(holder))
        return "not ours"

    def _say_what_waits(self, error: ServiceUnavailable) -> None:
        what = "artifacts are registered" if self.outbox.holds_artifacts else "it ends"
        words = f"{what} once Redis knows that the job has ended"
        self.job_log.say("WARNING", f"{words}: {error}")

    def give_up_results(self, words: str) -> Outcome | None:
        """Give up what could not be delivered for too long.

        Args:
            words: Why.

        Returns:
            How the job ends now; None for as before.
        """
        known = self._known
        if known is not None and self._record(known, seconds=0.0) == "recorded":
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
        self, status: str | None, last_line: Callable[[], bool] = lambda: True
    ) -> bool:
        delivered = self.outbox.finish(status, last_line=last_line)
        is_told = delivered and not self.outbox.holds_artifacts
        over = is_told or self._stop.superseded is not None
        if over and self._journal is not None:
            self._journal.ack_final_status()
        return delivered


def _remember_run(
    journal: Journal, request: JobRequest, context: AttemptContext, stop: JobStop
) -> None:
    """Have the MLflow run closed of a lost start that Redis has perhaps forgotten."""
    token = journal.about.start_token
    if token in {"", request.start_token}:
        return
    remember = partial(context.leases.runs.remember_begun, token, journal.left_run)
    try:
        stop.call(remember)
    except (ServiceUnavailable, Stopped) as error:
        log.debug("a run that a lost worker began may stay open: %s", error)


def _take_over(journal: Journal, request: JobRequest, claimed: Claim) -> str:
    """Go on with what a lost worker left; what to say of it."""
    before, lines = journal.about, journal.lines
    if claimed.kind == "ours":
        journal.hand_over(
            attempt=request.attempt,
            worker=request.worker,
            start_token=request.start_token,
        )
    elif claimed.run_id not in {"", before.run_id}:  # of yet another attempt
        journal.discard_results()
    if not lines:
        return ""
    return (
        f"{lines:,} log records of attempt {before.attempt} stand above that worker"
        f" {before.worker!r} was lost with"
    )


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
