"""Tells Redis that the worker lives, and renews its lease on the job that it has."""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from dioptra_worker.common.stop import LEASE_LOST, StopRequest
from dioptra_worker.daemon.health.snapshot import REDIS
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from dioptra_worker.broker.leases import Leases
    from dioptra_worker.broker.records import LeaseHolder
    from dioptra_worker.broker.rq.rq_worker import ActiveJob, RqWorker
    from dioptra_worker.common.stop import JobStop, StopRequests
    from dioptra_worker.daemon.health.state import HealthState

log = logging.getLogger("dioptra_worker.daemon")

HEARTBEAT_INTERVAL = 15.0
"""Seconds between two heartbeats in Redis, or less where leases are short.

Each renews what RQ knows of the worker and its job, and the lease on that job.
"""
SILENCE_OF_THE_DEAD = 1.5 * HEARTBEAT_INTERVAL
"""Seconds without a heartbeat after which a worker of our name can be replaced."""
END_TIMEOUT = 0.2
"""Seconds that the worker's end waits for a heartbeat that is under way."""


def interval_for(lease_ttl: float) -> float:
    """Seconds between two heartbeats: some may fail, and each may take long."""
    return min(HEARTBEAT_INTERVAL, lease_ttl / 6)


def taken_over(holder: LeaseHolder) -> StopRequest:
    """That another worker has the lease on our job."""
    words = f"worker {holder.worker!r} on {holder.host} has taken it over"
    return StopRequest("superseded", words, kill=True)


@dataclass(frozen=True)
class _Held:
    job_id: int
    stop: JobStop


class Heartbeat:
    """Sends heartbeats from a thread of its own, so that nothing delays them.

    What handles a job says which it is, from its own thread.
    """

    def __init__(
        self,
        rq: RqWorker,
        leases: Leases,
        health: HealthState,
        *,
        interval: float = HEARTBEAT_INTERVAL,
        stops: StopRequests | None = None,
    ) -> None:
        """Prepare; entering starts the thread.

        Args:
            rq: RQ's books about us.
            leases: Our lease on the job.
            health: Is told whether Redis answers.
            interval: Seconds between two heartbeats.
            stops: Has the worker shut down when another has its name.
        """
        self._stops = stops
        self._is_replaced = False
        self._rq = rq
        self._leases = leases
        self._health = health
        self._interval = interval
        self._held: _Held | None = None
        self._active: ActiveJob | None = None
        # Held while the lease is renewed or let go: a heartbeat that found a job just
        # before it ended must not take its lease again just after it was given back.
        self._leasing = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="dioptra-heartbeat", daemon=True
        )
        self._guarded = threading.Event()  # there is another lease to guard
        self._guard_thread = threading.Thread(
            target=self._guard, name="dioptra-lease", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        self._guard_thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._guarded.set()
        self._thread.join(END_TIMEOUT)

    @property
    def has_ended(self) -> bool:
        """Whether no heartbeat is under way any more; one may hang in Redis."""
        return not self._thread.is_alive()

    def hold(self, job_id: int, stop: JobStop) -> None:
        """Renew the lease on a job, which is ours; *stop* is told if it is lost."""
        self._held = _Held(job_id, stop)
        self._guarded.set()

    def run(self, active: ActiveJob) -> None:
        """Tell RQ that a job runs."""
        self._active = active

    def end(self) -> None:
        """Tell RQ no more that a job runs."""
        self._active = None

    def let_go(self) -> None:
        """Renew no lease any more, also not the one that is being renewed now."""
        with self._leasing:
            self._held = None

    def beat(self) -> None:
        """Send one heartbeat.

        Raises:
            ServiceUnavailable: If Redis is away.
        """
        with self._health.contacting(REDIS):
            with self._leasing:
                held = self._held
                if held is not None:
                    other = self._leases.acquire(held.job_id, held.stop)
                    if other is not None:
                        held.stop.request(taken_over(other))
            self._rq.send_heartbeat(self._active)
        if self._rq.replaced_by is not None and not self._is_replaced:
            self._is_replaced = True  # the lease on the job is renewed as long as it is
            words = "this worker's name is that of %s now: it takes no more jobs"
            log.error(words, self._rq.replaced_by, extra={"event": "replaced"})
            if self._stops is not None:
                self._stops.shut_down()

    def _guard(self) -> None:
        """Stop the job at the end of its lease, also while a heartbeat hangs."""
        while not self._done.is_set():
            self._guarded.clear()
            held = self._held
            left = None
            if held is not None:
                left = held.stop.lease_left
                if left <= 0:
                    held.stop.request(LEASE_LOST)
                    left = None
            self._guarded.wait(None if left == math.inf else left)

    def _work(self) -> None:
        while not self._done.wait(self._interval):
            try:
                self.beat()
            except ServiceUnavailable as error:
                log.debug("no heartbeat: %s", error)
            except Exception:  # without it, another worker would take our job over
                log.exception("a heartbeat broke")
