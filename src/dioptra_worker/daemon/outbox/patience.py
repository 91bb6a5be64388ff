"""How long the end of a job waits for an API that fails at this job alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dioptra_worker.daemon.outbox.sender import LoneTrouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.errors import ServiceUnavailable

PARK_AFTER = 5.0
"""Seconds after which another job that waits is let pass."""
PARK_ANYWAY_AFTER = 60.0
"""Seconds after which the job is parked though no other waits: people shall see it."""


class Patience:
    """Shared by all that a job's outbox delivers; may be asked by any thread.

    Attributes:
        parked_for: At what the API failed, and only at that, once patience was over.
    """

    def __init__(
        self,
        probe: Callable[[], object],
        *,
        may_park: Callable[[], bool] = lambda: False,
        pace: float = 1.0,
        anyway: float = PARK_ANYWAY_AFTER,
    ) -> None:
        """Prepare; while the job runs patience is never over.

        Args:
            probe: Sees whether the API works otherwise.
            may_park: Whether another job waits for this one's end to be delivered.
            pace: What the time until another job is let pass is multiplied with.
            anyway: Seconds after which it is parked though no other waits.
        """
        self.parked_for: ServiceUnavailable | None = None
        self._lone_trouble = LoneTrouble(probe)
        self._may_park = may_park
        self._park_after = PARK_AFTER * pace
        self._anyway = anyway
        self._has_ended = False
        self._blocked_since: float | None = None

    def begin(self) -> None:
        """Note that the job has ended, or that something was given up of it."""
        self._has_ended = True
        self.parked_for = self._blocked_since = None

    def is_over(self, error: ServiceUnavailable) -> bool:
        """Whether what the API did not take just now is left for later.

        While no other job waits, to go on trying for a while is sooner done.

        Args:
            error: How it failed.
        """
        if not self._has_ended:
            return False
        now = time.monotonic()
        since = self._blocked_since = self._blocked_since or now
        waited = now - since
        if waited < self._park_after or not self._lone_trouble.is_seen_in(error):
            return False
        if waited < self._anyway and not self._may_park():
            return False
        self.parked_for = error
        return True
