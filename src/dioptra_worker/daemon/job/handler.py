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
from dioptra_worker.common.stop import Stopped
from dioptra_worker.common.text.humanize import duration
from dioptra_worker.daemon.job.attempt import Attempt
from dioptra_worker.daemon.job.completion import parked_words
from dioptra_worker.daemon.outbox.job_log import JobLog
from dioptra_worker.daemon.outbox.sender import LoneTrouble
from dioptra_worker.daemon.service_calls import RedisRetries
from dioptra_worker.errors import PayloadError, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.broker.leases import Leases
    from dioptra_worker.broker.parking import Parked, Parking
    from dioptra_worker.broker.records import LeaseHolder
    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.broker.rq.registries import Registries
    from dioptra_worker.broker.rq.rq_worker import ActiveJob, QueueEntry, RqWorker
    from dioptra_worker.common.outcome import Outcome
    from dioptra_worker.common.stop import JobStop, StopRequests
    from dioptra_worker.daemon.job.context import AttemptContext
    from dioptra_worker.daemon.job.heartbeat import Heartbeat

log = logging.getLogger("dioptra_worker.handler")

TELL_TIMEOUT = 2.0
"""Seconds that the API has to hear a line in the log of a job that is not begun."""


class Handler:
    """Handles queue entries, one at a time."""

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
        self._context = context
        self._heartbeat = heartbeat
        self._attempt: Attempt | None = None

    def run(self) -> bool:
        """See to the job; False when it was put back because the API is away."""
        job_id, entry = self._request.job_id, self._entry
        holder = self._leases.acquire(job_id, self._stop)
        if holder == UNKNOWN:  # it lies where recovery looks until the lease is over
            log.warning("job %d waits: whose lease it has cannot be read", job_id)
            return True
        if holder is not None or self._runs_elsewhere():
            log.info(
                "job %d is a second delivery and is left to %s",
                job_id,
                holder.worker if holder else entry.worker_name,
            )
            self._rq.drop_duplicate(entry, None)
            self._leases.release(job_id)
            return True
        try:
            return self._ours()
        finally:
            self._heartbeat.end()
            self._context.health.job_over()
            self._release()

    def _runs_elsewhere(self) -> bool:
        """Whether a worker without leases, such as the platform's own, runs it."""
        entry = self._entry
        if entry.worker_name in {None, self._rq.name}:
            return False
        running = self._registries.started(entry.queue)
        return running.get(entry.id, False)

    def _ours(self) -> bool:
        job_id, entry = self._request.job_id, self._entry
        token = uuid.uuid4().hex
        number = self._leases.count_attempt(job_id, token)
        request = replace(self._request, attempt=number, start_token=token)
        self._request = request
        self._heartbeat.hold(job_id, self._stop)
        stop = self._stop.requested
        if stop is not None and stop.kind == "shutdown":  # while we waited for Redis
            self._put_back(stop.reason)
            return True
        attempt = Attempt(
            request,
            self._context,
            stop=self._stop,
            may_park=self._has_waiting,
        )
        self._attempt = attempt
        try:
            claimed = attempt.claim()
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
        if claimed.kind != "lost":
            # An end that was never settled, and trouble with it, are of another run.
            self._leases.clear_pending_status(job_id)
            self._parking.forget(job_id)
        if claimed.kind in {"over", "gone"}:
            log.info("job %d is not ours to run: %s", job_id, claimed.words)
            if claimed.kind == "gone":
                self._registries.remove(entry.id, entry.queue)
            else:
                self._rq.drop_duplicate(entry, claimed.status)
            self._leases.forget_attempts(job_id)
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
            outcome = attempt.run(claimed, parked=parked)
            self._heartbeat.end()
            self._close(active, outcome)
        except Exception:  # RQ's books would have it run for as long as we live
            self._heartbeat.end()
            self._rq.park(active)
            raise
        self._context.health.job_ended(outcome.fate, time.monotonic() - started)
        self._context.learn_imports(entry.queue.name, attempt.imports)
        log.info(
            "job %d %s after %s%s",
            job_id,
            outcome.fate,
            duration(time.monotonic() - started),
            f": {outcome.reason}" if outcome.reason else "",
            extra={"job_id": job_id, "fate": outcome.fate},
        )
        return True

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
        if outcome.fate not in {"given back", "left"}:
            self._forget(holder if outcome.fate == "dropped" else None)

    def _forget(self, holder: LeaseHolder | None) -> None:
        """Forget what workers have told each other of a job that is over.

        Args:
            holder: Who else has it, if that is known; it counts for itself.
        """
        job_id = self._request.job_id
        holder = holder or self._leases.acquire(job_id, self._stop)
        if holder is not None:
            return
        self._leases.clear_pending_status(job_id)
        self._leases.forget_attempts(job_id)
        self._parking.forget(job_id)

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
        settled = request.start_token if attempt is None else attempt.settled
        self._leases.release(request.job_id, settled=settled)


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
