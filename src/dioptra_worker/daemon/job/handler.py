"""Handles one queue entry, from the moment it was taken until its end is noted.

What is called on `_rq`, `_leases` and `_registries` is called until Redis answers: the
text reads as if Redis were always there.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from dioptra_worker.broker.payload import read_request
from dioptra_worker.common.humanize import duration
from dioptra_worker.daemon.job.attempt import Attempt
from dioptra_worker.daemon.service_calls import RedisRetries
from dioptra_worker.errors import PayloadError, ServiceUnavailable
from dioptra_worker.supervision.termination import StopRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.broker.payload import JobRequest
    from dioptra_worker.broker.registries import Registries
    from dioptra_worker.broker.rq_worker import ActiveJob, QueueEntry, RqWorker
    from dioptra_worker.common.outcome import Outcome
    from dioptra_worker.daemon.job.context import AttemptContext

log = logging.getLogger("dioptra_worker.handler")


class Handler:
    """Handles queue entries, one at a time; `handle` in one thread, the rest in any."""

    def __init__(
        self,
        *,
        rq: RqWorker,
        registries: Registries,
        context: AttemptContext,
        stopping: Callable[[], bool],
    ) -> None:
        """Prepare.

        Args:
            rq: Writes down what becomes of an entry.
            registries: Puts entries back.
            context: What attempts share.
            stopping: Whether the worker shuts down.
        """
        retries = RedisRetries(health=context.health, stopping=stopping)
        self._rq = retries.wrap(rq)
        self._leases = retries.wrap(context.leases)
        self._registries = retries.wrap(registries)
        self._heartbeat_rq = rq  # not tried again, as the rest is: the next comes soon
        self._context = context
        self._health = context.health
        self._attempt: Attempt | None = None
        self._taken: ActiveJob | None = None
        self._shutdown: StopRequest | None = None
        # Held while the lease is renewed or let go: a heartbeat that found a job just
        # before it ended must not take its lease again just after it was given back.
        self._leasing = threading.Lock()

    @property
    def job_id(self) -> int | None:
        """The job that is being handled."""
        attempt = self._attempt
        return None if attempt is None else attempt.request.job_id

    def stop(self, stop: StopRequest) -> bool:
        """Stop the job that is being handled; whether there was one.

        A worker that shuts down begins no other.
        """
        if stop.kind == "shutdown":
            self._shutdown = stop
        attempt = self._attempt
        if attempt is not None:
            attempt.stop(stop)
        return attempt is not None

    def send_heartbeat(self) -> None:
        """Tell Redis that we live, and renew the lease on our job.

        Raises:
            ServiceUnavailable: If Redis is away.
        """
        with self._leasing:
            attempt = self._attempt
            if attempt is not None:
                other = self._context.leases.acquire(attempt.request.job_id)
                if other is not None:
                    words = f"worker {other.worker!r} on {other.host} has taken it over"
                    attempt.stop(StopRequest("gone", words, kill=True))
        self._heartbeat_rq.send_heartbeat(self._taken)

    def handle(self, entry: QueueEntry) -> bool:
        """Handle an entry to its end.

        Args:
            entry: What left its queue.

        Returns:
            False when it was put back because the API is away.
        """
        try:
            request = read_request(entry.job, worker=self._rq.name)
        except PayloadError as error:
            log.error("queue entry %s was refused: %s", entry.id, error)
            reason = f"refused by dioptra-worker: {error}"
            self._rq.refuse(entry, reason)
            return True
        holder = self._leases.acquire(request.job_id)
        if holder is not None or self._runs_elsewhere(entry):
            log.info(
                "job %d is a second delivery and is left to %s",
                request.job_id,
                holder.worker if holder else entry.worker_name,
            )
            self._rq.drop_duplicate(entry, None)
            self._leases.release(request.job_id)
            return True
        try:
            return self._ours(request, entry)
        finally:
            self._taken = None
            self._health.job_over()
            self._release(request)

    def _runs_elsewhere(self, entry: QueueEntry) -> bool:
        """Whether a worker without leases, such as the platform's own, runs it."""
        if entry.worker_name in {None, self._rq.name}:
            return False
        running = self._registries.started(entry.queue)
        return running.get(entry.id, False)

    def _ours(self, request: JobRequest, entry: QueueEntry) -> bool:
        token = uuid.uuid4().hex
        number = self._leases.count_attempt(request.job_id, token)
        request = replace(request, attempt=number, start_token=token)
        attempt = self._attempt = Attempt(request, self._context)
        if (stop := self._shutdown) is not None:  # while we waited for Redis
            log.warning("job %d is put back: %s", request.job_id, stop.reason)
            self._hand_on(request)
            self._registries.requeue(entry.id, entry.queue)
            return True
        try:
            claimed = attempt.claim()
        except ServiceUnavailable as error:
            log.warning("job %d is put back: %s", request.job_id, error)
            self._hand_on(request)
            self._registries.requeue(entry.id, entry.queue)
            return False
        if claimed.kind != "lost":  # an end that was never settled is of another run
            self._leases.clear_pending_status(request.job_id)
        if claimed.kind in {"over", "gone"}:
            log.info("job %d is not ours to run: %s", request.job_id, claimed.words)
            self._rq.drop_duplicate(entry, claimed.status)
            self._leases.forget_attempts(request.job_id)
            return True
        taken = self._taken = self._rq.start_job(entry)
        self._health.job_started(request.job_id)
        log.info("job %d started", request.job_id, extra={"job_id": request.job_id})
        started = time.monotonic()
        try:
            outcome = attempt.run(claimed)
            self._taken = None
            self._close(request, taken, outcome)
        except Exception:  # RQ's books would have it run for as long as we live
            self._taken = None
            self._rq.park(taken)
            raise
        self._health.job_ended(outcome.fate, time.monotonic() - started)
        log.info(
            "job %d %s after %s%s",
            request.job_id,
            outcome.fate,
            duration(time.monotonic() - started),
            f": {outcome.reason}" if outcome.reason else "",
            extra={"job_id": request.job_id, "fate": outcome.fate},
        )
        return True

    def _close(self, request: JobRequest, taken: ActiveJob, outcome: Outcome) -> None:
        """Write into RQ's and our own books how it ended."""
        if outcome.fate == "given back":
            self._hand_on(request)
        self._rq.end_job(taken, outcome)
        if outcome.fate in {"given back", "left"}:
            return
        if self._leases.acquire(request.job_id) is not None:
            return  # another worker has taken it over, and counts for itself
        self._leases.clear_pending_status(request.job_id)
        self._leases.forget_attempts(request.job_id)

    def _hand_on(self, request: JobRequest) -> None:
        """Let go of a job that is about to be in its queue again.

        Not after that: whoever takes it from there and finds it held would leave it to
        us, as a second delivery.
        """
        self._leases.uncount_attempt(request.job_id, request.start_token)
        self._release(request)

    def _release(self, request: JobRequest) -> None:
        """Give the lease on a job back, for no heartbeat to take it again."""
        with self._leasing:
            self._attempt = None
        self._leases.release(request.job_id)
