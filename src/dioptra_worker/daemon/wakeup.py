"""What the daemon's main loop sleeps by: it says meanwhile that it lives."""

from __future__ import annotations

import contextlib
import math
import queue
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.common.stop import StopRequests

TICK_INTERVAL = 5.0
"""Seconds between two signs of life of a main loop that sleeps."""


class WakeUp:
    """What the main loop sleeps by; only that loop's thread may sleep.

    Whatever concerns it is put into `StopRequests.events`, from any thread and from
    within a signal handler.
    """

    def __init__(self, stops: StopRequests, *, tick: Callable[[], None]) -> None:
        """Prepare.

        Args:
            stops: What was asked of the daemon.
            tick: Called every few seconds while the main loop sleeps.
        """
        self._stops = stops
        self._tick = tick

    @property
    def stopping(self) -> bool:
        """Whether the daemon was told to shut down."""
        return self._stops.shutdowns > 0

    def wait(self, seconds: float | None) -> None:
        """Sleep until something happens, or for a while.

        Args:
            seconds: How long at most; None sleeps until something happens.
        """
        events = self._stops.events
        until = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            self._tick()
            left = until - time.monotonic()
            if left <= 0:
                break
            with contextlib.suppress(queue.Empty):
                events.get(timeout=min(left, TICK_INTERVAL))
                break
        for _ in range(events.qsize()):
            events.get_nowait()

    def sleep_unless_stopped(self, seconds: float) -> bool:
        """Sleep for a while, whatever happens but a shutdown.

        Args:
            seconds: How long.

        Returns:
            Whether the daemon was told to shut down.
        """
        until = time.monotonic() + seconds
        while not self.stopping and (left := until - time.monotonic()) > 0:
            self.wait(left)
        return self.stopping
