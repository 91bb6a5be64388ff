"""What SIGTERM and Ctrl-C do: the first, the second and the third.

The first: no more jobs are taken, and the running one has the shutdown grace to end;
then it is given back to its queue. The second gives it back at once, the third kills
it.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING

from dioptra_worker.common.humanize import duration
from dioptra_worker.supervision.termination import StopRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from dioptra_worker.daemon.health.state import HealthState
    from dioptra_worker.daemon.job.handler import Handler

log = logging.getLogger("dioptra_worker.daemon")

_REASON = "the worker was shut down"


@contextlib.contextmanager
def stop_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have a handler called at SIGTERM and SIGINT.

    It runs between any two steps of this thread, and may wait for no lock, since this
    thread could hold it: see `WakeUp`.
    """
    before = {
        number: signal.signal(number, handler)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class Shutdown:
    """The end of a worker that has a job; belongs to the main loop's thread."""

    def __init__(self, handler: Handler, health: HealthState, *, grace: float) -> None:
        """Prepare; nothing happens until the first request.

        Args:
            handler: Has the job.
            health: Is told that the worker ends.
            grace: Seconds that the job has to end by itself.
        """
        self._handler = handler
        self._health = health
        self._grace = grace
        self._seen = 0
        self._give_back_at: float | None = None

    def proceed(self, requests: int) -> float | None:
        """Do what is due.

        Args:
            requests: How often the worker was told to stop until now.

        Returns:
            Seconds after which something is due again; None when nothing will be.
        """
        if requests > self._seen:
            self._seen = requests
            self._begin(requests)
        if self._give_back_at is None:
            return None
        left = self._give_back_at - time.monotonic()
        if left > 0:
            return left
        self._give_back_at = None
        self._handler.stop(StopRequest("shutdown", _REASON))
        return None

    def _begin(self, requests: int) -> None:
        self._health.phase("ending")
        if requests == 1:
            log.warning(
                "shutting down: no more jobs are taken, job %s has %s to end, then it"
                " is given back; a second signal gives it back at once",
                self._handler.job_id,
                duration(self._grace),
            )
            self._give_back_at = time.monotonic() + self._grace
            return
        log.warning("shutting down at once: job %s is given back", self._handler.job_id)
        self._handler.stop(StopRequest("shutdown", _REASON, kill=requests > 2))
