"""How long a job may take to get ready, and what it is waiting for meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from dioptra_worker.common.humanize import duration
from dioptra_worker.supervision.termination import StopRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP = 1.0
"""Seconds by which a deadline must move for the supervisor to be told."""

Apply = Callable[[float, StopRequest], object]


class SetupDeadline:
    """The deadline of a job's set-up; an input that arrives puts it off.

    So a large input may take as long as it needs while it comes, and nothing that
    hangs takes longer than the deadline. Any thread may use it.
    """

    def __init__(
        self, seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to count.

        Args:
            seconds: What is left without anything arriving.
            clock: Says how late it is, in seconds.
        """
        self._seconds = seconds
        self._clock = clock
        self._until = clock() + seconds
        self._awaited: list[str] = []
        self._apply: Apply | None = None
        self._lock = threading.Lock()

    def hold(self, apply: Apply) -> None:
        """Have it held from now on.

        Args:
            apply: Takes the seconds that are left, and what ends the job then.
        """
        with self._lock:
            self._apply = apply
        self._tell()

    @contextlib.contextmanager
    def awaiting(self, what: str) -> Iterator[None]:
        """Say, if time runs out, that this was waited for."""
        with self._lock:
            self._awaited.append(what)
        self._tell()
        try:
            yield
        finally:
            with self._lock:
                self._awaited.remove(what)
            self._tell()

    def put_off(self, more: float = 0.0) -> None:
        """Something has arrived, or is known to take *more* seconds until it does."""
        until = self._clock() + self._seconds + more
        with self._lock:
            if until < self._until + _STEP:
                return
            self._until = until
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            apply, left = self._apply, self._until - self._clock()
            awaited = ", ".join(dict.fromkeys(self._awaited))
        if apply is None:
            return
        words = (
            "the job's code and its MLflow run could not be had within"
            f" {duration(self._seconds)} (DIOPTRA_WORKER_SETUP_DEADLINE)"
        )
        if awaited:
            words += f"; it was waiting for {awaited}, of which nothing came any more"
        apply(left, StopRequest("setup", words))
