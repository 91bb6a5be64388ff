"""Asks and answers about elements for the runner of one job.

A thread of its own: Redis may be away for a while, and neither the job's log nor its
time limit may wait for that. It renews what the job holds, and when the runner ends it
lets go of what is left.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from dioptra_worker.broker.batch_leases import ELEMENT_LEASE_TTL, ElementLeases
from dioptra_worker.common.network.backoff import FOREVER, retry_until_available
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.protocol.messages import BatchClaimReply, BatchClaimRequest
from dioptra_worker.supervision.channel.message_limits import (
    MAX_OPEN_REQUESTS,
    LimitReached,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.common.network.outage_log import OutageLog

log = logging.getLogger("dioptra_worker.claims")

RENEW_INTERVAL = ELEMENT_LEASE_TTL / 3
CLOSE_TIMEOUT = 5.0
"""Seconds that a job's end waits for Redis to take claims back; they run out anyway."""


class BatchClaims:
    """Keeps one job's claims; `ask` from any thread, then `close` once."""

    def __init__(
        self,
        leases: ElementLeases,
        *,
        job: int,
        token: str,
        answer: Callable[[BatchClaimReply], object],
        outages: OutageLog,
        renew_interval: float = RENEW_INTERVAL,
    ) -> None:
        """Start the thread.

        Args:
            leases: The record that all jobs of the worker run share.
            job: The job.
            token: Names this attempt of the job.
            answer: Tells the runner.
            outages: Told when a question waits for Redis, and when it goes on.
            renew_interval: Seconds between two renewals of what the job holds.
        """
        self._leases = leases
        self._job = job
        self._token = token
        self._answer = answer
        self._outages = outages
        self._renew_interval = renew_interval
        self._held: set[str] = set()
        self._requests: queue.SimpleQueue[BatchClaimRequest | None] = (
            queue.SimpleQueue()
        )
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="dioptra-claims", daemon=True
        )
        self._thread.start()

    def ask(self, request: BatchClaimRequest) -> None:
        """Take a question of the runner; the answer goes to it when there is one.

        Raises:
            LimitReached: Too many wait, as for a Redis that is away.
        """
        if self._requests.qsize() >= MAX_OPEN_REQUESTS:
            raise LimitReached(
                f"it has more than {MAX_OPEN_REQUESTS:,} claims of batch elements open"
                " at the same time"
            )
        self._requests.put(request)

    def close(self, reason: str) -> None:
        """Let go of what the ended job still holds.

        Args:
            reason: How the job ended, for the elements that it was working on.
        """
        self._closing.set()
        self._requests.put(None)
        self._thread.join(CLOSE_TIMEOUT)
        if self._thread.is_alive():
            return  # Redis is away, and the claims run out by themselves
        for element in sorted(self._held):
            try:
                self._leases.set_state(
                    element, "error", token=self._token, error=reason, crashed=True
                )
            except ServiceUnavailable as error:
                log.warning("claims of job %d run out later: %s", self._job, error)
                return

    def _work(self) -> None:
        due = time.monotonic() + self._renew_interval
        while not self._closing.is_set():
            if time.monotonic() >= due:
                self._renew()
                due = time.monotonic() + self._renew_interval
            try:
                request = self._requests.get(timeout=max(0, due - time.monotonic()))
            except queue.Empty:
                continue
            if request is None:
                return
            try:
                outcome = retry_until_available(
                    partial(self._outcome, request),
                    seconds=FOREVER,
                    sleep=self._sleep,
                    on_wait=self._outages.on_wait,
                    on_back=self._outages.on_back,
                )
            except _Closed:
                return
            self._answer(
                BatchClaimReply(request_id=request.request_id, outcome=outcome)
            )

    def _outcome(self, request: BatchClaimRequest) -> str:
        element = request.element
        if request.state == "started":
            outcome = self._leases.acquire(
                element, job=self._job, token=self._token, last=request.last
            )
            if outcome == "granted":
                self._held.add(element)
            return outcome
        outcome = self._leases.set_state(
            element,
            request.state,
            token=self._token,
            error=request.error,
        )
        self._held.discard(element)
        return outcome

    def _renew(self) -> None:
        if not self._held:
            return
        try:
            self._leases.renew(self._held, token=self._token)
        except ServiceUnavailable as error:
            log.warning("claims of job %d are not renewed: %s", self._job, error)

    def _sleep(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise _Closed


class _Closed(Exception):
    """The job ended while its question waited for Redis."""
