"""Handles one queue entry, from the moment it was taken until its end is noted."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from dioptra_worker.broker.parking import Trouble
from dioptra_worker.broker.records import UNKNOWN
from dioptra_worker.broker.rq.payload import read_request
from dioptra_worker.common.background import in_background
from dioptra_worker.common.outcome import Outcome
from dioptra_worker.common.stop import Stopped
from dioptra_worker.common.text.humanize import duration
from dioptra_worker.common.worker_trouble import is_worker_trouble
from dioptra_worker.daemon.job.attempt import Attempt
from dioptra_worker.daemon.job.completion import parked_words
from dioptra_worker.daemon.job.own_trouble import OwnTrouble
from dioptra_worker.daemon.outbox.job_log import JobLog
from dioptra_worker.daemon.outbox.sender import LoneTrouble
from dioptra_worker.daemon.service_calls import RedisRetries
from dioptra_worker.errors import PayloadError, ServiceUnavailable, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.broker.leases import Leases
    from dioptra_worker.broker.parking import Parked, Parking
    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.broker.rq.registries import Registries
    from dioptra_worker.broker.rq.rq_worker import ActiveJob, QueueEntry, RqWorker
    from dioptra_worker.common.stop import JobStop, StopRequests
    from dioptra_worker.daemon.job.claim import Claim
    from dioptra_worker.daemon.job.context import AttemptContext
    from dioptra_worker.daemon.job.heartbeat import Heartbeat

log = logging.getLogger("dioptra_worker.handler")

TELL_TIMEOUT = 2.0
"""Seconds that the API has to hear a line in the log of a job that is not begun."""


class Handler:
    """Handles queue entries, one at a time.

    Attributes:
        trouble: What keeps this worker from preparing jobs.
    """

    def __init__(
        self,
        *,
        rq: RqWorker,
        registries: Registries,
        context: AttemptContext,
        heartbeat: Heartbeat,
        stops: StopRequests,
    ) -> None:
        """Prepare.

        Args:
            rq: Writes down what becomes of an entry.
            registries: Puts entries back.
            context: What attempts share.
            heartbeat: Is told which job we have.
            stops: Is told so, too.
        """
        self._rq = rq
        self._registries = registries
        self._context = context
        self._heartbeat = heartbeat
        self._stops = stops
        self._retries = RedisRetries(context.health)
        self.trouble = OwnTrouble(
            context.health, pace=context.times.get("trouble_pace", 1.0)
        )
        # That of the job which was put back last: it comes back at once.
        self._lone_trouble = (0, LoneTrouble(context.api.ping))

    def handle(self, entry: QueueEntry, stop: JobStop) -> bool:
        """Handle an entry to its end.

        Args:
            entry: What left its queue.
            stop: Whether it is to stop, and how long all may take.

        Returns:
            False when it was put back because the API is away.

        Raises:
            Stopped: If Redis did not answer in time while the worker shut down; other
                workers find the entry where it is.
        """
        try:
            request = read_request(entry.job, worker=self._rq.name)
        except PayloadError as error:
            log.error("queue entry %s was refused: %s", entry.id, error)
            reason = f"refused by dioptra-worker: {error}"
            self._retries.wrap(self._rq, stop).refuse(entry, self._context.mask(reason))
            return True
        self._stops.job_id = request.job_id
        handling = _Handling(
            request,
            entry,
            stop,
            rq=self._retries.wrap(self._rq, stop),
            registries=self._retries.wrap(self._registries, stop),
            parking=self._retries.wrap(self._registries.parking, stop),
            leases=self._retries.wrap(self._context.leases, stop),
            has_waiting=self._has_waiting,
            lone_trouble=self._lone_trouble_of(request.job_id),
            own_trouble=self.trouble,
            context=self._context,
            heartbeat=self._heartbeat,
        )
        return handling.run()

    def _lone_trouble_of(self, job_id: int) -> LoneTrouble:
        if self._lone_trouble[0] != job_id:
            self._lone_trouble = (job_id, LoneTrouble(self._context.api.ping))
        return self._lone_trouble[1]

    def _has_waiting(self) -> bool:
        try:
            return self._rq.has_waiting()
        except ServiceUnavailable:
            return False


class _Handling:
    """The way of one job through RQ's and our own books.

    What is called on `_rq`, `_leases` and `_registries` is called until Redis answers,
    or there is no time left: the text reads as if Redis were always there.
    """

    def __init__(
        self,
        request: JobRequest,
        entry: QueueEntry,
        stop: JobStop,
        *,
        rq: RqWorker,
        registries: Registries,
        parking: Parking,
        leases: Leases,
        has_waiting: Callable[[], bool],
        lone_trouble: LoneTrouble,
        own_trouble: OwnTrouble,
        context: AttemptContext,
        heartbeat: Heartbeat,
    ) -> None:
        self._request = request
        self._entry = entry
        self._stop = stop
        self._rq = rq
        self._registries = registries
        self._parking = parking
        self._leases = leases
        self._has_waiting = has_waiting
        self._lone_trouble = lone_trouble
        self._own_trouble = own_trouble
        self._context = context
        self._heartbeat = heartbeat
        self._attempt: Attempt | None = None
        self._is_over = False

    def run(self) -> bool:
        """See to the job; False when it was put back because the API is away."""
        job_id, entry = self._request.job_id, self._entry
        if self._runs_elsewhere():
            self._leave_to(entry.worker_name)
            return True
        token = uuid.uuid4().hex
        begun = self._leases.begin(job_id, token, self._stop)
        if begun.holder == UNKNOWN:
            # It lies where recovery looks until the lease is over.
            log.warning("job %d waits: whose lease it has cannot be read", job_id)
            return True
        if begun.holder is not None:
            self._leave_to(begun.holder.worker)
            return True
        self._request = replace(self._request, attempt=begun.attempt, start_token=token)
        try:
            return self._ours(is_noted=begun.is_noted)
        finally:
            self._heartbeat.end()
            self._context.health.job_over()
            self._release()

    def _leave_to(self, worker: str | None) -> None:
        words = "job %d is a second delivery and is left to %s"
        log.info(words, self._request.job_id, worker)
        self._rq.drop_duplicate(self._entry, None)

    def _runs_elsewhere(self) -> bool:
        """Whether a worker without leases, such as the platform's own, runs it."""
        entry = self._entry
        if entry.worker_name in {None, self._rq.name}:
            return False
        running = self._registries.started(entry.queue)
        return running.get(entry.id, False)

    def _ours(self, *, is_noted: bool) -> bool:
        job_id, entry = self._request.job_id, self._entry
        self._heartbeat.hold(job_id, self._stop)
        stop = self._stop.requested
        if stop is not None and stop.kind == "shutdown":  # while we waited for Redis
            self._put_back(stop.reason)
            return True
        attempt = Attempt(
            self._request,
            self._context,
            stop=self._stop,
            may_park=self._has_waiting,
            is_last_try=not self._own_trouble.may_try_again(job_id),
            # Its claim may fail again, and each try would leave an MLflow run behind.
            is_noted=is_noted or self._lone_trouble.has_failed,
        )
        self._attempt = attempt
        claimed = self._claim(attempt)
        if isinstance(claimed, bool):
            return claimed
        if is_noted and claimed.kind != "lost":
            # An end that was never settled, and trouble with it, are of another run.
            self._leases.clear_pending_status(job_id)
            self._parking.forget(job_id)
        if claimed.kind in {"over", "gone"}:
            log.info("job %d is not ours to run: %s", job_id, claimed.words)
            if claimed.kind == "gone":
                self._registries.remove(entry.id, entry.queue)
            else:
                self._rq.drop_duplicate(entry, claimed.status)
            self._is_over = True
            return True
        active = self._rq.start_job(entry)
        self._stop.begin()
        self._heartbeat.run(active)
        self._context.health.job_started(job_id)
        log.info("job %d started", job_id, extra={"job_id": job_id})
        started = time.monotonic()
        try:
            is_late = claimed.kind == "lost"  # any other has no end yet
            parked = self._parking.look(job_id) if is_late else None
            outcome = self._run(attempt, claimed, parked)
            self._heartbeat.end()
            self._close(active, outcome)
        except Exception:  # RQ's books would have it run for as long as we live
            self._heartbeat.end()
            self._rq.park(active)
            raise
        self._context.health.job_ended(outcome.fate, time.monotonic() - started)
        attempt.learn_from(entry.queue.name)
        log.info(
            "job %d %s after %s%s",
            job_id,
            outcome.fate,
            duration(time.monotonic() - started),
            f": {outcome.reason}" if outcome.reason else "",
            extra={"job_id": job_id, "fate": outcome.fate},
        )
        return True

    def _claim(self, attempt: Attempt) -> Claim | bool:
        """Make the job ours in the API; what `run` gives if that could not be now."""
        job_id, entry = self._request.job_id, self._entry
        try:
            return attempt.claim()
        except Stopped:
            if self._leases.acquire(job_id, self._stop) is None:
                self._put_back("the worker was shut down, or its lease ran out")
            else:  # whoever has taken it over begins it
                self._rq.drop_duplicate(entry, None)
            return True
        except ServiceUnavailable as error:
            if self._lone_trouble.is_seen_in(error):
                self._hand_on()
                tries = self._park(str(error)).tries - 1
                self._tell_job(parked_words(error, tries=tries))
                return True
            self._put_back(str(error))
            return False
        except (WorkerError, OSError, MemoryError) as error:
            if not is_worker_trouble(error):
                raise
            self._own_trouble.note(job_id, str(error))
            self._put_back(str(error))
            return True

    def _run(self, attempt: Attempt, claimed: Claim, parked: Parked | None) -> Outcome:
        """Run the job; what keeps this worker from that is noted."""
        job_id, trouble = self._request.job_id, self._own_trouble
        try:
            outcome = attempt.run(claimed, parked=parked)
        except (WorkerError, OSError, MemoryError) as error:
            is_ours = is_worker_trouble(error) and not attempt.has_begun
            if not is_ours or not trouble.may_try_again(job_id):
                raise
            trouble.note(job_id, str(error))
            # The API still has it as started: whoever takes it next goes on from there.
            return Outcome(fate="given back", reason=str(error), mlflow="KILLED")
        if attempt.trouble:
            trouble.note(job_id, attempt.trouble)
        elif claimed.kind == "ours":
            trouble.note_well(job_id)
        return outcome

    def _close(self, active: ActiveJob, outcome: Outcome) -> None:
        """Write into RQ's and our own books how it ended."""
        job_id = self._request.job_id
        holder = None
        is_deleted = False
        if outcome.fate == "dropped":
            holder = self._leases.acquire(job_id, self._stop)
            if holder is None and self._stop.superseded is not None:
                # Nobody has taken it over: it begins anew, here or elsewhere.
                outcome = replace(outcome, fate="given back")
            elif holder is None and self._stop.gone is not None:
                outcome = _as_set(outcome, self._stop.gone.status)
                is_deleted = outcome.fate == "dropped"
                self._leases.forget_attempts(job_id)
        if outcome.fate == "given back":
            self._hand_on()
        if outcome.fate == "parked":
            self._rq.park(active)
            gives_up = self._attempt is not None and self._attempt.gives_up
            self._park(outcome.reason, gives_up=gives_up)
            return
        if holder is not None and not self._registries.is_begun_elsewhere(active):
            # Perhaps nobody: a Redis that was restored has leases of workers that are
            # gone. It lies where recovery looks once the lease is over.
            self._rq.park(active)
            return
        self._rq.end_job(active, outcome)
        if is_deleted:
            self._registries.remove(self._entry.id, self._entry.queue)
        self._is_over = outcome.fate not in {"given back", "left"} and holder is None

    def _park(self, why: str, *, gives_up: bool = False) -> Parked:
        """Have a job wait at which the API fails, and let the next one pass.

        It lies among what was taken and not begun, where recovery finds it.

        Args:
            why: At what it fails.
            gives_up: Whether that is given up some time.
        """
        patience = self._context.settings.delivery_deadline
        trouble = Trouble(
            why=self._context.mask(why),
            queue=self._entry.queue.name,
            worker=self._rq.name,
            patience=patience if gives_up else None,
        )
        parked = self._parking.park(self._request.job_id, trouble)
        words = "job %d is parked for %s, and others run: the API fails at it alone: %s"
        log.warning(
            words,
            self._request.job_id,
            duration(parked.left),
            trouble.why,
            extra={"event": "parked"},
        )
        return parked

    def _tell_job(self, words: str) -> None:
        """Say something in the log of a job that has not begun, if that can be done."""
        context, job_id = self._context, self._request.job_id

        def tell() -> None:
            with JobLog(
                context.api, job_id, mask=context.mask, stop=self._stop
            ) as job_log:
                job_log.log_job_only("WARNING", words)
                job_log.drain(TELL_TIMEOUT)

        with contextlib.suppress(TimeoutError):
            in_background(tell, "dioptra-call").result(TELL_TIMEOUT)

    def _put_back(self, reason: str) -> None:
        log.warning("job %d is put back: %s", self._request.job_id, reason)
        self._hand_on()
        self._registries.requeue(self._entry.id, self._entry.queue)

    def _hand_on(self) -> None:
        """Let go of a job that is about to be in its queue again.

        Not after that: whoever takes it from there and finds it held would leave it to
        us, as a second delivery.
        """
        request = self._request
        self._leases.uncount_attempt(request.job_id, request.start_token)
        self._release()

    def _release(self) -> None:
        """Give the lease on a job back, for no heartbeat to take it again."""
        self._heartbeat.let_go()
        attempt, request = self._attempt, self._request
        self._leases.release(
            request.job_id,
            request.start_token,
            is_settled=attempt is None or attempt.is_settled,
            is_over=self._is_over,
        )


def _as_set(outcome: Outcome, status: str) -> Outcome:
    """What RQ is told of a job whose status somebody else has set in the API.

    Args:
        outcome: What became of it here.
        status: Its status there; empty for a job that was deleted.
    """
    match status:
        case "finished":
            return replace(outcome, fate="finished", reason="")
        case "failed":
            return replace(outcome, fate="failed")
        case "queued":  # the API enqueues nothing at a reset
            return replace(outcome, fate="given back")
    return outcome
