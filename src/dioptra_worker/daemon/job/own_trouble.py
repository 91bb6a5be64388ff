"""Jobs that this worker cannot prepare, for want of something that is none of theirs.

Such a job goes back to its queue, where another worker may do better, and this one
takes none for a while, longer each time. What is short for one job only, such as the
space that its inputs need, ends that job at last.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dioptra_worker.common.text.humanize import duration

if TYPE_CHECKING:
    from dioptra_worker.daemon.health.state import HealthState

log = logging.getLogger("dioptra_worker.handler")

MAX_TRIES = 8
"""How often one worker tries to prepare a job that it has not enough for."""
LONGEST_PAUSE = 30.0
"""Seconds for which the worker takes no job after that; the first time it is one."""
_MAX_REMEMBERED = 1000


class OwnTrouble:
    """What one worker knows of its trouble.

    Attributes:
        pause: Seconds for which to take no job now.
    """

    def __init__(self, health: HealthState, *, pace: float = 1.0) -> None:
        """Prepare; there is none.

        Args:
            health: Is told of it.
            pace: What pauses are multiplied with.
        """
        self.pause = 0.0
        self._health = health
        self._pace = pace
        self._in_a_row = 0
        self._tries: dict[int, int] = {}

    def may_try_again(self, job_id: int) -> bool:
        """Whether a job that cannot be prepared now may be tried once more."""
        return self._tries.get(job_id, 0) + 1 < MAX_TRIES

    def note(self, job_id: int, words: str) -> None:
        """Note that a job could not be prepared, and why."""
        if len(self._tries) >= _MAX_REMEMBERED:
            self._tries.clear()
        self._tries[job_id] = self._tries.get(job_id, 0) + 1
        self.pause = min(LONGEST_PAUSE, 2.0**self._in_a_row) * self._pace
        self._in_a_row += 1
        self._health.trouble(words)
        log.error(
            "this worker cannot prepare jobs, and takes none for %s: %s",
            duration(self.pause),
            words,
            extra={"event": "worker-trouble"},
        )

    def note_well(self, job_id: int) -> None:
        """Note that a job could be prepared."""
        self._tries.pop(job_id, None)
        self.pause, self._in_a_row = 0.0, 0
        self._health.trouble("")
