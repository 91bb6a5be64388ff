"""Which jobs are parked, from the queues' Redis, where its address is known."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dioptra_worker.broker.parking import Parking
from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.errors import ServiceUnavailable, SettingsError
from dioptra_worker.tools.jobs.control.queues import has_queues, open_queues

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.broker.parking import Parked
    from dioptra_worker.tools.jobs.job_row import JobRow
    from dioptra_worker.tools.jobs.listing import Found

ANSWER_TIMEOUT = 2.0
"""Seconds that Redis may take: nothing else that is shown needs it."""
REST = 30.0
"""Seconds for which Redis is not asked again after it was not there."""


@dataclass(frozen=True)
class ParkedJobs:
    """The jobs that are parked, as far as that is known.

    Attributes:
        jobs: What is known of each, by job.
        trouble: Why nothing is known, if that is not as it should be.
    """

    jobs: Mapping[int, Parked] = field(default_factory=dict)
    trouble: str = ""

    def of(self, job: JobRow) -> Parked | None:
        """What is known of a job; one that has ended is not parked."""
        return None if job.has_ended else self.jobs.get(job.id)

    def among(self, found: Found) -> dict[int, Parked]:
        """What is known of those jobs of a list that are parked."""
        known = {listed.job.id: self.of(listed.job) for listed in found.jobs}
        return {job_id: parked for job_id, parked in known.items() if parked}


class ParkedReader:
    """Reads which jobs are parked; may be asked by several threads."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            environment: Has the address of Redis, or has it not: then nothing is
                known, and nobody is told.
            clock: Measures how long Redis is left alone.
        """
        self._environment = environment
        self._clock = clock
        self._lock = threading.Lock()
        self._trouble = ParkedJobs()
        self._until = clock()

    def read(self) -> ParkedJobs:
        """The jobs that are parked now."""
        if not has_queues(self._environment):
            return ParkedJobs()
        with self._lock:
            if self._clock() < self._until:
                return self._trouble
            try:
                return self._read()
            except (ServiceUnavailable, SettingsError) as error:
                self._trouble = ParkedJobs(
                    trouble=f"which jobs are parked is not known: {error}"
                )
                self._until = self._clock() + REST
                return self._trouble

    def _read(self) -> ParkedJobs:
        with open_queues(
            self._environment, answer_timeout=ANSWER_TIMEOUT
        ) as connection:
            return ParkedJobs({job.job_id: job for job in Parking(connection).all()})


def parked_lines(parked: Parked) -> tuple[str, str]:
    """Since when and why a job is parked; and when it is tried again and given up."""
    why = f": {parked.why}" if parked.why else ""
    next_try = "now" if parked.left < 1 else f"in {coarse_duration(parked.left)}"
    times = f"{parked.tries} {'time' if parked.tries == 1 else 'times'}"
    if parked.given_up_in is None:
        end = "never given up, but `dioptra-worker jobs cancel` ends it"
    elif parked.given_up_in < 1:
        end = "given up then"
    else:
        end = f"given up in {coarse_duration(parked.given_up_in)}"
    age = coarse_duration(max(0.0, parked.age))
    return (
        f"for {age}, since the API fails at it and works otherwise{why}",
        f"tried {times}, again {next_try}; {end}",
    )
