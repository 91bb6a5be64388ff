"""Wakes the daemon's main loop, from any thread and from within a signal handler.

A signal handler runs between any two steps of the main thread, also while that thread
holds the lock of a `threading.Event`, which it would then wait for for ever. Here it
only appends to a list and to a `queue.SimpleQueue`, which may both be interrupted by
themselves.
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TICK_INTERVAL = 5.0
"""Seconds between two signs of life of a main loop that sleeps."""


class WakeUp:
    """What the main loop sleeps by; only that loop's thread may sleep."""

    def __init__(self, *, tick: Callable[[], None]) -> None:
        """Prepare.

        Args:
            tick: Called every few seconds while the main loop sleeps.
        """
        self._tick = tick
        self._told: list[None] = []
        self._events: queue.SimpleQueue[None] = queue.SimpleQueue()

    @property
    def stop_requests(self) -> int:
        """How often the daemon was told to stop."""
        return len(self._told)

    @property
    def stopping(self) -> bool:
        """Whether the daemon was told to stop."""
        return bool(self._told)

    def stop(self) -> None:
        """Tell the daemon to stop; a signal handler may."""
        self._told.append(None)
        self.wake()

    def wake(self) -> None:
        """End a `wait`."""
        self._events.put(None)

    def wait(self, seconds: float | None) -> None:
        """Sleep until something happens, or for a while.

        Args:
            seconds: How long at most; None sleeps until something happens.
        """
        until = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            self._tick()
            left = until - time.monotonic()
            if left <= 0:
                break
            with contextlib.suppress(queue.Empty):
                self._events.get(timeout=min(left, TICK_INTERVAL))
                break
        for _ in range(self._events.qsize()):
            self._events.get_nowait()

    def sleep_unless_stopped(self, seconds: float) -> bool:
        """Sleep for a while, whatever happens but a stop.

        Args:
            seconds: How long.

        Returns:
            Whether the daemon was told to stop.
        """
        until = time.monotonic() + seconds
        while not self.stopping and (left := until - time.monotonic()) > 0:
            self.wait(left)
        return self.stopping
