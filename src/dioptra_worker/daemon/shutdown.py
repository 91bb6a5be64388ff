"""What SIGTERM, SIGHUP and Ctrl-C do: the first, the second and the third.

The first: no more jobs are taken, and the running one has the shutdown grace to end;
then it is given back to its queue, as one that has not begun is at once. The second
gives it back at once, the third kills it.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING

from dioptra_worker.common.stop import BOOKS_TIMEOUT, LAST_WORDS_TIMEOUT, StopRequest
from dioptra_worker.common.text.humanize import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from dioptra_worker.common.stop import StopRequests
    from dioptra_worker.daemon.health.state import HealthState

log = logging.getLogger("dioptra_worker.daemon")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that ask the worker to shut down; SIGHUP is a terminal that was closed."""
CHECK_INTERVAL = 0.25
"""Seconds between two looks at a job that was told to end."""
LEAVE_MARGIN = BOOKS_TIMEOUT + 0.1
"""Seconds beyond all that a job may take after which its thread is left behind."""

_REASON = "the worker was shut down"


@contextlib.contextmanager
def stop_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have a handler called at the signals that ask the worker to shut down.

    It runs between any two steps of this thread, and may wait for no lock, since this
    thread could hold it: see `StopRequests.shut_down`. A signal that was ignored stays
    so, as SIGHUP under nohup. After the block none does anything: the process is about
    to end, and one more that asks for that must not have it die of it.
    """
    heard = [
        number
        for number in STOP_SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    for number in heard:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_IGN)  # all else Python takes back


class Shutdown:
    """The end of a worker that has a job; belongs to the main loop's thread."""

    def __init__(
        self,
        stops: StopRequests,
        health: HealthState,
        *,
        grace: float,
        kill_grace: float,
    ) -> None:
        """Prepare; nothing happens until the first request.

        Args:
            stops: What was asked of the worker, and the job that it has.
            health: Is told that the worker ends.
            grace: Seconds that the job has to end by itself.
            kill_grace: Seconds that it has between being told to stop and being killed.
        """
        self._stops = stops
        self._health = health
        self._grace = grace
        self._kill_grace = kill_grace
        self._seen = 0
        self._give_back_at: float | None = None
        self._killed_at: float | None = None
        self._leave_at: float | None = None

    def proceed(self) -> float | None:
        """Do what is due.

        Returns:
            Seconds after which something is due again; None when nothing will be.
        """
        if self._stops.shutdowns > self._seen:
            self._seen = self._stops.shutdowns
            self._begin(self._seen)
        now = time.monotonic()
        if self._give_back_at is not None and now >= self._give_back_at:
            self._give_back()
        if self._give_back_at is not None:
            return self._give_back_at - now
        return None if self._killed_at is None else CHECK_INTERVAL

    @property
    def is_overdue(self) -> bool:
        """Whether the job has taken longer than anything may: a thread of it hangs."""
        job, now = self._stops.job, time.monotonic()
        if self._killed_at is None or job is None:
            return False
        if job.time_left == 0 and self._leave_at is None:
            self._leave_at = now + LEAVE_MARGIN
        if self._leave_at is not None:
            return now > self._leave_at
        return now > self._killed_at + LAST_WORDS_TIMEOUT + LEAVE_MARGIN

    def _begin(self, requests: int) -> None:
        self._health.phase("ending")
        job, job_id = self._stops.job, self._stops.job_id
        if requests == 1 and job is not None and job.has_begun:
            log.warning(
                "shutting down: no more jobs are taken, job %s has %s to end, then it"
                " is given back; a second signal gives it back at once",
                job_id,
                duration(self._grace),
            )
            self._give_back_at = time.monotonic() + self._grace
            return
        log.warning("shutting down at once: job %s is given back", job_id)
        self._give_back(kill=requests > 2)

    def _give_back(self, *, kill: bool = False) -> None:
        self._give_back_at = None
        job = self._stops.job
        if job is None:  # it has just ended
            return
        job.request(StopRequest("shutdown", _REASON, kill=kill))
        self._killed_at = time.monotonic() + (0.0 if kill else self._kill_grace)
