"""Why a job waits: where, since when, behind how many, and who listens there."""

from __future__ import annotations

import shlex
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dioptra_worker.broker.connection import translate_errors
from dioptra_worker.broker.rq.workers import line, workers
from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.errors import ServiceUnavailable, SettingsError
from dioptra_worker.tools.jobs.control.queues import URL, has_queues, open_queues
from dioptra_worker.tools.jobs.parked import ANSWER_TIMEOUT, REST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.broker.rq.workers import SeenWorker
    from dioptra_worker.tools.jobs.job_row import JobRow

LOOK_INTERVAL = 5.0
"""Seconds between two looks at why a job still waits."""
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What is known of why a job waits.

    Attributes:
        queue: The queue that it waits in.
        since: When it was put there.
        ahead: How many jobs come before it; None if that is not known.
        listening: The workers that listen on the queue; None if that is not known.
        trouble: Why the last two are not known, if so.
    """

    queue: str
    since: datetime
    ahead: int | None = None
    listening: tuple[SeenWorker, ...] | None = None
    trouble: str = ""

    def sentence(self, now: datetime) -> str:
        """Say it, with how long that is by now."""
        age = coarse_duration(max(0.0, (now - self.since).total_seconds()))
        place, who = self.reason
        return f"queued in {self.queue!r} for {age}{place}; {who}"

    @property
    def reason(self) -> tuple[str, str]:
        """What there is to say but the time: its place, and who listens."""
        return self._place(), self._who()

    def same_as(self, other: Waiting | None) -> bool:
        """Whether there is nothing new but the time."""
        return other is not None and self.reason == other.reason

    def _place(self) -> str:
        if self.ahead is None:
            return ""
        if self.ahead == 0:
            return ", next"
        return f", behind {self.ahead} {'other' if self.ahead == 1 else 'others'}"

    def _who(self) -> str:
        if self.listening is None:
            return self.trouble
        if not self.listening:
            start = f"`dioptra-worker start {shlex.quote(self.queue)}`"
            return f"no worker listens there: start one, {start}"
        names = [repr(worker.name) for worker in self.listening[:_SHOWN]]
        if len(self.listening) > _SHOWN:
            names.append(f"{len(self.listening) - _SHOWN} more")
        busy = sum(not worker.is_free for worker in self.listening)
        verb = "listens" if len(self.listening) == 1 else "listen"
        if busy == len(self.listening):
            state = "busy" if busy == 1 else "all busy"
        else:
            state = f"{len(self.listening) - busy} of {len(self.listening)} free"
        return f"{' and '.join(names)} {verb} there, {state}"


class WaitingReader:
    """Reads why jobs wait; may be asked by several threads.

    Args:
        environment: Has the address of Redis, or has it not.
        clock: Measures how long Redis is left alone when it is not there.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._lock = threading.Lock()
        self._trouble = ""
        self._until = clock()

    def read(self, job: JobRow) -> Waiting | None:
        """Why a job waits; None if it does not."""
        if job.status != "queued":
            return None
        plain = Waiting(queue=job.queue, since=job.since)
        if not has_queues(self._environment):
            return replace(plain, trouble=f"who listens there is not known: set {URL}")
        with self._lock:
            if self._clock() >= self._until:
                try:
                    return self._looked_up(plain, job.id)
                except (ServiceUnavailable, SettingsError) as error:
                    self._trouble = f"who listens there is not known: {error}"
                    self._until = self._clock() + REST
            return replace(plain, trouble=self._trouble)

    def _looked_up(self, plain: Waiting, job_id: int) -> Waiting:
        with (
            open_queues(self._environment, answer_timeout=ANSWER_TIMEOUT) as connection,
            translate_errors(),
        ):
            ahead = line(connection, plain.queue).ahead_of(str(job_id))
            listening = tuple(
                worker for worker in workers(connection) if plain.queue in worker.queues
            )
        return replace(plain, ahead=ahead, listening=listening)


class WaitingWatch:
    """Tells why one job waits, and again when that has changed.

    Args:
        reader: Knows it.
        tell: Is told the sentence.
    """

    def __init__(self, reader: WaitingReader, tell: Callable[[str], object]) -> None:
        self._reader = reader
        self._tell = tell
        self._told: Waiting | None = None
        self._next = -1.0

    @property
    def is_due(self) -> bool:
        """Whether a look would be more than the last one again."""
        return time.monotonic() >= self._next

    def look(self, job: JobRow) -> None:
        """Look at a job, which may wait."""
        if job.status != "queued" or not self.is_due:
            return
        self._next = time.monotonic() + LOOK_INTERVAL
        found = self._reader.read(job)
        if found is not None and not found.same_as(self._told):
            self._tell(f"job {job.id} is {found.sentence(datetime.now(UTC))}")
            self._told = found
