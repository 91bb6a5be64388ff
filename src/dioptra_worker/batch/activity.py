"""Claims elements and says what became of them; in a job, through the daemon."""

from __future__ import annotations

import contextlib
import enum
import logging
import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dioptra_worker.sdk.bridge import Bridge

log = logging.getLogger("dioptra_worker.batch")

Claim = Literal["granted", "taken", "postponed"]

PROGRESS_EVERY = 1.0
"""Seconds between two reports of the progress."""


class ActivityState(enum.Enum):
    """Where an element stands."""

    Queued = "queued"
    Started = "started"
    Processed = "processed"
    Error = "error"


class Activities:
    """The elements of one run of a batch worker; records nothing without a bridge."""

    def __init__(self, bridge: Bridge | None) -> None:
        self._bridge = bridge

    @property
    def stored(self) -> bool:
        """Whether anything is recorded."""
        return self._bridge is not None

    def claim(self, element: str, *, last: bool) -> Claim:
        """Take an element; see `dioptra_worker.sdk.bridge.Bridge.set_element_state`.

        Returns:
            ``granted`` to go on; ``taken`` when it is done or another job has it;
            ``postponed`` when a job was lost over it: ask again, with *last*, when
            all others are done.
        """
        if self._bridge is None:
            return "granted"
        outcome = self._bridge.set_element_state(element, "started", last=last)
        if outcome == "off":
            log.info("No activity is recorded: the job has no worker run.")
            self._bridge = None
            return "granted"
        if outcome in {"granted", "postponed"}:
            return "granted" if outcome == "granted" else "postponed"
        return "taken"

    def settle(self, element: str, state: ActivityState, error: str = "") -> bool:
        """Say what became of an element; whether it still was ours."""
        if self._bridge is None:
            return True
        return (
            self._bridge.set_element_state(element, state.value, error=error) != "lost"
        )


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
        self._told = float("-inf")

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

    def tell(self, *, now: bool = False) -> None:
        """Put the counts into the job's metrics, at most once a second unless *now*."""
        if self._bridge is None:
            return
        if not now and time.monotonic() - self._told < PROGRESS_EVERY:
            return
        self._told = time.monotonic()
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
