"""Whether a job, or the whole worker, is to stop: some ask, whatever waits heeds it.

Who has a reason to stop a job writes it into its `JobStop`, which is made before
everything else that the job needs and handed down: the heartbeat that lost the lease,
the watch on the job's status, the outbox that finds the job deleted, RQ's commands, the
end of the worker. What waits for anything on behalf of the job waits through it. So no
call runs up the house, and no wait is longer than the worker has time.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from dioptra_worker.common.background import in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

T = TypeVar("T")

StopKind = Literal[
    "timeout",
    "requested",
    "shutdown",
    "gone",
    "superseded",
    "setup",
    "trouble",
    "limit",
]

LAST_WORDS_TIMEOUT = 1.0
"""Seconds that a worker which shuts down has for a job without a runner.

It tells the API and MLflow what becomes of it, whichever of them are away.
"""
BOOKS_TIMEOUT = 0.3
"""Seconds beyond that for Redis: what the API was not told is another's to tell."""


@dataclass(frozen=True)
class StopRequest:
    """Why a job is stopped.

    Attributes:
        kind: What the daemon decides by; ``gone`` is a job that nobody wants from us
            any more, ``superseded`` one that another worker may have by now,
            ``trouble`` one that this worker cannot prepare, as it lacks something,
            ``limit`` one that took more of the worker than a job may.
        reason: What people read, as the end of "the job was stopped: ...".
        kill: Kill its runner without a grace period.
        status: What its status was set to in the REST API by somebody else, if that is
            why.
    """

    kind: StopKind
    reason: str
    kill: bool = False
    status: str = ""


LEASE_LOST = StopRequest(
    "superseded",
    "this worker could not renew its lease on the job in time, and another may have it",
    kill=True,
)
JOB_DELETED = StopRequest("gone", "the job was deleted")
STOPPED_BY_REQUEST = StopRequest("requested", "stopped by request")
KILLED_BY_REQUEST = StopRequest("requested", "killed by request", kill=True)


def status_set(status: str) -> StopRequest:
    """That somebody else has set the status of our job."""
    was = "was reset" if status == "queued" else f"was set to {status!r}"
    words = f"its status {was} in the REST API, and not by this worker"
    return StopRequest("gone", words, status=status)


def lease_clock() -> float:
    """Seconds of a clock that goes on while the machine sleeps, as a lease does."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Stopped(Exception):
    """What was waited for is not wanted any more, or there is no time left for it."""


class JobStop:
    """Whether one job is to stop, why, and how long it may take; for any thread.

    A job that nobody stops takes as long as it needs, and so does its delivery. A
    worker that shuts down leaves the runner its grace, which the supervisor holds;
    before a runner is there, and once it has ended, a few seconds are left for all.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        last_words_timeout: float = LAST_WORDS_TIMEOUT,
    ) -> None:
        """Begin; nobody has asked for anything.

        Args:
            clock: Says how late it is, in seconds.
            last_words_timeout: Seconds that a shutdown leaves a job without a runner.
        """
        self._clock = clock
        self._last_words_timeout = last_words_timeout
        self._changed = threading.Condition()
        self._wakers: list[Callable[[], None]] = []
        self._request: StopRequest | None = None
        self._gone: StopRequest | None = None
        self._superseded: StopRequest | None = None
        self._owned_until = math.inf
        self._shutdown_at = math.inf
        self._idle_since: float | None = -math.inf
        self._is_over = False
        self.has_begun = False

    # For who has a reason.

    def request(self, stop: StopRequest) -> None:
        """Have the job stopped.

        The first reason counts, a later one may only be quicker; but that the job is
        not ours any more counts in any case.
        """
        with self._changed:
            if self._request is None:
                self._request = stop
            elif stop.kill and not self._request.kill:
                first = self._request
                self._request = StopRequest(first.kind, first.reason, kill=True)
            if stop.kind in {"gone", "superseded"} and self._gone is None:
                self._gone = stop
            if stop.kind == "superseded" and self._superseded is None:
                self._superseded = stop
            if stop.kind == "shutdown":
                self._shutdown_at = min(self._shutdown_at, self._clock())
        self._wake()

    def own_until(self, moment: float) -> None:
        """Note that the lease on the job was renewed; once lost, it stays lost.

        Args:
            moment: By `lease_clock`, when it is ours no longer.
        """
        if self.superseded is None:
            self._owned_until = moment

    # For who has the job.

    @property
    def requested(self) -> StopRequest | None:
        """Why it is to stop, if it is."""
        return self._request

    @property
    def gone(self) -> StopRequest | None:
        """Why it is not ours any more, if it is not."""
        return self._gone or self.superseded

    @property
    def superseded(self) -> StopRequest | None:
        """Why another worker may have it, if one may; to be asked before each write.

        The lease's end is looked up, not waited for: a machine that slept, or a process
        that was stopped meanwhile, finds out before it writes.
        """
        if self._superseded is None and lease_clock() >= self._owned_until:
            return LEASE_LOST
        return self._superseded

    @property
    def lease_left(self) -> float:
        """Seconds until the lease on the job is lost, unless it is renewed."""
        return max(0.0, self._owned_until - lease_clock())

    @property
    def owns_lease(self) -> bool:
        """Whether we took the lease on the job, and nobody else can have it yet."""
        return self._owned_until < math.inf and self.superseded is None

    def begin(self) -> None:
        """The job is ours to run: a worker that shuts down lets it end."""
        self.has_begun = True

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Supervise a runner until the end of the block."""
        self._idle_since = None
        try:
            yield
        finally:
            self._idle_since = self._clock()

    def end(self) -> None:
        """Nothing is wanted any more of who still prepares the job."""
        self._is_over = True
        self._wake()

    # For what waits.

    @property
    def time_left(self) -> float | None:
        """Seconds that anything but the runner may still take; None is no limit."""
        return self._time_left(0.0)

    def within(self, seconds: float | None) -> float | None:
        """Seconds that something may take which is given so many; None is no limit."""
        limits = [limit for limit in (seconds, self.time_left) if limit is not None]
        return min(limits, default=None)

    def spare(self, seconds: float) -> float:
        """Seconds that something may be waited for which nobody needs.

        What hangs in a service would else take all the time that a worker which shuts
        down has to say what becomes of the job.
        """
        left = self.time_left
        return seconds if left is None else min(seconds, left / 10)

    def sleep(self, seconds: float) -> None:
        """Sleep, on behalf of who prepares the job.

        Raises:
            Stopped: The job is to stop, or over.
        """
        with self._changed:
            if self._changed.wait_for(
                lambda: self._request is not None or self._is_over, seconds
            ):
                raise Stopped

    def pause(self, seconds: float, *, beyond: float = 0.0) -> None:
        """Sleep, on behalf of who claims the job or says what becomes of it.

        Args:
            seconds: How long.
            beyond: Seconds that there are beyond `time_left`.

        Raises:
            Stopped: There is no time left.
        """
        until = self._clock() + seconds
        self._wait(lambda: self._clock() >= until, beyond, until)

    def result(self, future: Future[T], *, beyond: float = 0.0) -> T:
        """What comes of something that may hang.

        Args:
            future: Where it comes.
            beyond: Seconds that there are beyond `time_left`.

        Raises:
            Stopped: There is no time left.
        """
        future.add_done_callback(lambda _: self._wake())
        self._wait(future.done, beyond)
        return future.result()

    def call(self, call: Callable[[], T], *, beyond: float = 0.0) -> T:
        """Call what may hang; what comes too late comes for nobody.

        Args:
            call: What to do.
            beyond: Seconds that there are beyond `time_left`.

        Raises:
            Stopped: There is no time left.
        """
        return self.result(in_background(call, "dioptra-call"), beyond=beyond)

    @contextlib.contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Have something called whenever this changes, from any thread."""
        with self._changed:
            self._wakers.append(wake)
        try:
            yield
        finally:
            with self._changed:
                self._wakers.remove(wake)

    def _time_left(self, beyond: float) -> float | None:
        idle_since = self._idle_since
        if self._shutdown_at == math.inf or idle_since is None:
            return None
        ends_at = max(self._shutdown_at, idle_since)
        ends_at += self._last_words_timeout + beyond
        return max(0.0, ends_at - self._clock())

    def _wait(
        self, is_done: Callable[[], bool], beyond: float, until: float = math.inf
    ) -> None:
        with self._changed:
            while not is_done():
                left = self._time_left(beyond)
                if left is not None and left <= 0:
                    raise Stopped
                seconds = min(math.inf if left is None else left, until - self._clock())
                self._changed.wait(None if seconds == math.inf else max(0.0, seconds))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
            wakers = list(self._wakers)
        for wake in wakers:  # without the lock: they have locks of their own
            wake()


class StopRequests:
    """What was asked of a worker: to shut down, or to stop the job that it has.

    Attributes:
        events: Has something for each of them; what wakes the main loop in general.
        job: The job that is handled, if one is.
        job_id: Its id.
    """

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.job: JobStop | None = None
        self.job_id: int | None = None
        self._shutdowns: list[None] = []

    @property
    def shutdowns(self) -> int:
        """How often the worker was told to shut down."""
        return len(self._shutdowns)

    def shut_down(self) -> None:
        """Have the worker shut down, the second time at once; a signal handler may.

        Such a handler runs between any two steps of the main thread, which may hold the
        lock that it would wait for. Appending to a list and to a `queue.SimpleQueue`
        may both be interrupted by themselves.
        """
        self._shutdowns.append(None)
        self.events.put(None)

    @contextlib.contextmanager
    def handling(self) -> Iterator[JobStop]:
        """Handle a queue entry until the end of the block."""
        self.job = JobStop()
        try:
            yield self.job
        finally:
            self.job = self.job_id = None

    def stop_job(self, job_id: str) -> bool:
        """Stop a job if it is the one that is handled; whether it is."""
        job = self.job
        if job is None or str(self.job_id) != job_id:
            return False
        job.request(STOPPED_BY_REQUEST)
        return True

    def kill_job(self) -> None:
        """Kill the job that is handled, if one is."""
        if self.job is not None:
            self.job.request(KILLED_BY_REQUEST)
