"""Counts elements: as metrics of the job while it runs, and in words at its end."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dioptra_worker.sdk.worker.bridge import Bridge

REPORT_INTERVAL = 1.0
"""Seconds between two reports of the progress."""


class Progress:
    """Counts, shown as metrics of the job while it runs."""

    def __init__(self, bridge: Bridge | None, *, noun: str, total: int) -> None:
        """Begin to count.

        Args:
            bridge: Where the metrics go; without one there are none.
            noun: What is counted, such as ``element``.
            total: How many there are.
        """
        self._bridge = bridge
        self._noun = noun
        self.total = total
        self.completed = 0
        self.skipped = 0
        self.failed = 0
        self._reported_at = float("-inf")

    @property
    def next(self) -> int:
        """The number of the one that is about to be processed, from 1."""
        return self.completed + self.skipped + self.failed + 1

    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {
            "completed": self.completed,
            "skipped": self.skipped,
            "failed": self.failed,
        }

    def report(self, *, now: bool = False) -> None:
        """Put the counts into the job's metrics, at most once a second unless *now*."""
        if self._bridge is None:
            return
        if not now and time.monotonic() - self._reported_at < REPORT_INTERVAL:
            return
        self._reported_at = time.monotonic()
        counts = {
            "total": self.total,
            "processed": self.completed,
            "skipped": self.skipped,
            "failed": self.failed,
        }
        for name, value in counts.items():
            with contextlib.suppress(Exception):  # a metric never fails an element
                self._bridge.append_metric(f"{self._noun}s_{name}", float(value), 0)

    def summary(self) -> str:
        """One line for the log."""
        plural = "" if self.total == 1 else "s"
        skipped = f"{self.skipped} skipped, " if self.skipped else ""
        return (
            f"Ran on {self.total} {self._noun}{plural}: {self.completed} completed,"
            f" {skipped}{self.failed} failed"
        )
