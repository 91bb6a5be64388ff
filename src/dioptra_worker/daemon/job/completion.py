"""How what an attempt produced, and at last its end, reaches the REST API."""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from dioptra_worker.broker.leases import PendingStatus
from dioptra_worker.daemon.outbox.outbox import Address, Outbox
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dioptra_worker.common.outcome import Outcome
    from dioptra_worker.daemon.job.claim import Claim
    from dioptra_worker.daemon.job.context import Services
    from dioptra_worker.daemon.job.runner_events import RunnerEvents
    from dioptra_worker.daemon.outbox.journal import Journal, Journals

log = logging.getLogger("dioptra_worker.delivery")

GIVE_BACK_TIMEOUT = 10.0
"""Seconds that a worker which shuts down waits for the API to take a job back."""
LAST_DELIVERY = 2.0
"""Seconds that a worker which shuts down still delivers what an ended job left."""
_AWAY = "; the API is away, and another worker will tell it"


class Completion:
    """One attempt's outbox, open in a ``with``; `shut_down` from any thread."""

    def __init__(
        self,
        events: RunnerEvents,
        services: Services,
        journals: Journals,
        *,
        claimed: Claim,
        on_gone: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            events: What the runner says; it gets the outbox.
            services: What attempts share.
            journals: Where to keep what is not delivered.
            claimed: Whether the job is run, or only told its end.
            on_gone: Told when the API no longer knows the job.
        """
        self._events = events
        self._order = events.order
        self._services = services
        self._journals = journals
        self._claimed = claimed
        self._on_gone = on_gone
        self._closing = contextlib.ExitStack()
        self._journal: Journal | None = None
        self._shutting_down = False
        self._concluding = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        order = self._order
        self._journal = journal = self._journals.open(
            job_id=order.job_id,
            experiment_id=order.experiment_id,
            attempt=order.attempt,
            worker=order.worker,
        )
        words = "" if journal is None else self._inherit(journal)
        self._outbox = Outbox(
            self._services.api,
            Address(job_id=order.job_id, experiment_id=order.experiment_id),
            group_id=lambda: self._events.group_id,
            say=self._events.say,
            on_gone=self._on_gone,
            journal=journal,
        )
        self._services.health.outbox(lambda: self._outbox.depth)
        if journal is not None:
            self._closing.enter_context(journal)
        self._closing.enter_context(self._outbox)
        self._events.outbox = self._outbox
        if words:
            self._events.say("WARNING", words)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.__exit__(kind, error, trace)

    def conclude(self, verdict: Outcome, timeout: float | None = None) -> bool:
        """Deliver the rest and the status, having noted that it is under way.

        Args:
            verdict: How the job ended.
            timeout: Seconds for each part; None waits however long it takes.

        Returns:
            Whether all of it is delivered.
        """
        order = self._order
        pending = PendingStatus(
            job_id=order.job_id,
            experiment_id=order.experiment_id,
            status="finished" if verdict.fate == "finished" else "failed",
            reason=verdict.reason,
        )
        if self._journal is None or self._journal.end is None:  # else it is said
            self._events.conclude(verdict)
        if self._journal is not None:
            self._journal.record_final_status(pending)
        try:
            self._services.leases.pend(pending)
        except ServiceUnavailable as error:
            log.debug("the status is on this machine only: %s", error)
        return self._finish(pending.status, timeout)

    def give_back(self, verdict: Outcome) -> Outcome:
        """Set the job back to ``queued``, or fail it where the settings say so."""
        if self._services.settings.on_interruption == "fail":
            verdict = replace(verdict, fate="failed")
            delivered = self.conclude(verdict, GIVE_BACK_TIMEOUT)
        else:
            words = f"the job is given back: {verdict.reason}"
            self._events.say("WARNING", words)
            delivered = self._finish("reset", GIVE_BACK_TIMEOUT)
        return verdict if delivered else left(verdict)

    def drop(self) -> None:
        """Deliver the rest and leave the status alone: it is another's."""
        self._finish(None, None)

    def shut_down(self) -> None:
        """End waiting soon; what is not delivered then is another's to deliver."""
        with self._lock:
            self._shutting_down = True
            if self._concluding:
                self._abandon()

    def _abandon(self) -> None:
        timer = threading.Timer(LAST_DELIVERY, self._outbox.abandon)
        timer.daemon = True
        timer.start()

    def _finish(self, status: str | None, timeout: float | None) -> bool:
        with self._lock:
            self._concluding = True
            if self._shutting_down:
                self._abandon()
        delivered = self._outbox.finish(status, timeout)
        if delivered and self._journal is not None:
            self._journal.ack_final_status()
        return delivered

    def _inherit(self, journal: Journal) -> str:
        """Take on what a lost worker left; what to say of it."""
        before, lines = journal.about, journal.log.waiting
        if self._claimed.kind == "ours":
            journal.hand_over(attempt=self._order.attempt, worker=self._order.worker)
        if not lines:
            return ""
        return (
            f"{lines:,} log records of attempt {before.attempt} stand above that worker"
            f" {before.worker!r} was lost with"
        )


def left(verdict: Outcome) -> Outcome:
    """What it is when the API could not be told."""
    return replace(verdict, fate="left", reason=f"{verdict.reason}{_AWAY}")
