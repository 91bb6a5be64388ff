"""Answers to what a runner asks of the daemon."""

from __future__ import annotations

import math
import time
import uuid
from typing import TYPE_CHECKING

from dioptra_worker.common.network.outage_log import OutageLog
from dioptra_worker.daemon.job.preparation import if_ready
from dioptra_worker.daemon.job.running.batch_claims import BatchClaims
from dioptra_worker.errors import ServiceError
from dioptra_worker.protocol.messages import BatchClaimReply, SessionReply
from dioptra_worker.supervision.channel.answering import Answering

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.broker.leases import Leases
    from dioptra_worker.common.text.masking import Mask
    from dioptra_worker.daemon.job.preparation import Prepared
    from dioptra_worker.daemon.outbox.job_log import JobLog
    from dioptra_worker.protocol.messages import (
        BatchClaimRequest,
        Message,
        SessionRequest,
    )


RENEWAL_PAUSE = 1.0
"""Seconds in which a session that was just renewed is not renewed again for a job."""


class SessionHandler:
    """Gives a runner our session with the REST API."""

    def __init__(
        self,
        api: DioptraApi,
        send: Callable[[Message], object],
        *,
        mask: Mask,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            api: Whose session it is.
            send: Tells the runner something.
            mask: Learns what the runner is given, and hides it from now on.
            clock: Says how late it is, in seconds.
        """
        self._mask = mask
        self._api = api
        self._send = send
        self._clock = clock
        self._renewed_at = -math.inf
        # Not in the supervisor's thread: to log in again may take a while.
        self._answering = Answering(self._answer, name="dioptra-sessions")

    def handle(self, request: SessionRequest) -> None:
        """Answer soon.

        Raises:
            LimitReached: Too many requests wait.
        """
        self._answering.ask((request, self._clock()))

    def close(self) -> None:
        """Answer no more."""
        self._answering.close()

    def _answer(self, asked: tuple[SessionRequest, float]) -> None:
        request, asked_at = asked
        # Of many threads that were refused, each asks: one new session is for all.
        renew = request.renew and asked_at >= self._renewed_at + RENEWAL_PAUSE
        cookies: dict[str, str] = {}
        trouble = None
        try:
            cookies = self._api.cookies(renew=renew)
            self._mask.learn(*cookies.values(), source="session")
        except ServiceError as error:
            trouble = self._mask(str(error))
        else:
            self._renewed_at = self._clock() if renew else self._renewed_at
        self._send(
            SessionReply(
                request_id=request.request_id,
                url=self._api.url,
                cookies=cookies,
                error=trouble,
            )
        )


class BatchClaimHandler:
    """Claims elements for a runner, once it is known of which worker run its job is."""

    def __init__(
        self,
        leases: Leases,
        send: Callable[[Message], object],
        *,
        job_id: int,
        job_log: JobLog,
        prepared: Future[Prepared],
    ) -> None:
        """Prepare.

        Args:
            leases: Has the records that the jobs of a worker run share.
            send: Tells the runner something.
            job_id: The job.
            job_log: Told when a claim waits for Redis, and when it goes on.
            prepared: What the runner is given: it has the worker run.
        """
        self._leases = leases
        self._send = send
        self._job_id = job_id
        self._log = job_log
        self._prepared = prepared
        self._claims: BatchClaims | None = None

    def handle(self, request: BatchClaimRequest) -> None:
        """Answer soon.

        Raises:
            LimitReached: Too many requests wait.
        """
        prepared = if_ready(self._prepared)
        if prepared is None or not prepared.worker_run:  # no record to share
            reply = BatchClaimReply(request_id=request.request_id, outcome="off")
            self._send(reply)
            return
        if self._claims is None:  # few jobs have batches, and it takes a thread
            self._claims = BatchClaims(
                self._leases.element_leases(prepared.worker_run),
                job=self._job_id,
                token=uuid.uuid4().hex,
                answer=self._send,
                outages=OutageLog(self._log.log_job_only),
            )
        self._claims.ask(request)

    def close(self, reason: str) -> None:
        """Let go of the elements that the ended job was working on."""
        if self._claims is not None:
            self._claims.close(reason or "its job ended")
