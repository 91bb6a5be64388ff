"""What a runner is stopped for next: the set-up's deadline, then the time limit.

The limit is the queue entry's, or else `broker.rq.payload.DEFAULT_TIME_LIMIT`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Literal

from dioptra_worker.common.stop import StopRequest
from dioptra_worker.common.text.humanize import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Needed = Literal["run", "plan"]

SETUP_TOOK_TOO_LONG = (
    "the job's code and its MLflow run could not be had within {}"
    " (DIOPTRA_WORKER_SETUP_DEADLINE)"
)


class SetupDeadline:
    """The deadline of a job's set-up; an input that arrives extends it.

    So a large input may take as long as it needs while it comes, and nothing that
    hangs takes longer than the deadline. Any thread may use it.
    """

    def __init__(
        self,
        seconds: float,
        words: str = SETUP_TOOK_TOO_LONG,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count.

        Args:
            seconds: What is left without anything arriving.
            words: Why the job is stopped then; ``{}`` stands for the seconds.
            clock: Says how late it is, in seconds.
        """
        self._seconds = seconds
        self._words = words.format(duration(seconds))
        self._clock = clock
        self._due_at = clock() + seconds
        self._waiting_for: list[str] = []
        self._lock = threading.Lock()

    @property
    def due_at(self) -> float:
        """When the job is stopped, on the clock."""
        with self._lock:
            return self._due_at

    @property
    def stop_request(self) -> StopRequest:
        """Why it is stopped then."""
        with self._lock:
            awaited = ", ".join(dict.fromkeys(self._waiting_for))
        words = self._words
        if awaited:
            words += f"; it was waiting for {awaited}, of which nothing came any more"
        return StopRequest("setup", words)

    @contextlib.contextmanager
    def waiting_for(self, what: str) -> Iterator[None]:
        """Say, if time runs out, that this was waited for."""
        with self._lock:
            self._waiting_for.append(what)
        try:
            yield
        finally:
            with self._lock:
                self._waiting_for.remove(what)

    def extend(self, more: float = 0.0) -> None:
        """Something has arrived, or is known to take *more* seconds until it does."""
        with self._lock:
            self._due_at = max(self._due_at, self._clock() + self._seconds + more)


class JobClock:
    """A job's deadline: its set-up's until its MLflow run and its plan are there.

    Only then the time limit begins: waiting for a service is not the job's time. Any
    thread may use it. The supervisor asks it before each wait, and need not be woken:
    a set-up's deadline only moves on, and who brings the run or the plan is in its
    thread.
    """

    def __init__(
        self,
        setup: SetupDeadline,
        *,
        limit: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with the set-up.

        Args:
            setup: Its deadline.
            limit: Seconds that the job may take afterwards; None is no limit.
            clock: Says how late it is, in seconds.
        """
        self._setup = setup
        self._limit = limit
        self._clock = clock
        self._missing: set[Needed] = {"run", "plan"}
        self._limit_at: float | None = None
        self._lock = threading.Lock()

    def is_ready(self, part: Needed) -> None:
        """A part that the job needs is there; what comes again changes nothing."""
        with self._lock:
            if part not in self._missing:
                return
            self._missing.remove(part)
            if not self._missing and self._limit is not None:
                self._limit_at = self._clock() + self._limit

    @property
    def due_at(self) -> float | None:
        """When the job is stopped, on the clock; None is never."""
        with self._lock:
            return self._setup.due_at if self._missing else self._limit_at

    @property
    def stop_request(self) -> StopRequest:
        """Why it is stopped then."""
        with self._lock:
            if self._missing:
                return self._setup.stop_request
        words = f"timed out after its limit of {duration(self._limit or 0)}"
        return StopRequest("timeout", words)
