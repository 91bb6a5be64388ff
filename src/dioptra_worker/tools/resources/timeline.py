"""What a job's statuses tell of its durations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from dioptra_worker.api.models import StatusChange

ENDED = frozenset({"finished", "failed"})
"""The statuses of a job that has ended."""


@dataclass(frozen=True)
class Timeline:
    """Every status that a job had.

    Attributes:
        changes: Status and time, the oldest first.
    """

    changes: tuple[StatusChange, ...]

    @property
    def waited(self) -> float | None:
        """Seconds from the submission to the last start."""
        return _between(self._first("queued"), self._last("started"))

    @property
    def ran(self) -> float | None:
        """Seconds from the last start to the end that followed it."""
        return _between(self._last("started"), self._last(*ENDED))

    def running(self, now: datetime) -> float | None:
        """Seconds that it has been running until now; None when it does not run."""
        if not self.changes or self.changes[-1].status != "started":
            return None
        return max(0.0, (now - self.changes[-1].at).total_seconds())

    def _first(self, *statuses: str) -> datetime | None:
        return next((c.at for c in self.changes if c.status in statuses), None)

    def _last(self, *statuses: str) -> datetime | None:
        changes = reversed(self.changes)
        return next((c.at for c in changes if c.status in statuses), None)


def _between(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None or end < start:
        return None
    return (end - start).total_seconds()
