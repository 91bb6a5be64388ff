"""What the daemon knows about its own health; safe from any thread, never blocking.

The daemon's threads tell it what happens; the heartbeat file and the HTTP port show
it (`dioptra_worker.daemon.health.reporter`). It asks no service anything.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from dioptra_worker.daemon.health.snapshot import (
    NEEDED,
    Contact,
    Durations,
    Imports,
    ParkedJobs,
    Peaks,
    Snapshot,
)
from dioptra_worker.errors import ServiceRefused, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence, Sized

    from dioptra_worker.broker.parking import Parked
    from dioptra_worker.daemon.health.snapshot import Phase, State
    from dioptra_worker.protocol.forkserver import PreloadedModule

MAX_MODULES = 100
"""Modules whose imports are counted."""
START_TIMEOUT = 120.0
"""Seconds that the daemon may take from its start to its first tick."""
TROUBLE_SHOWN = 600.0
"""Seconds for which a worker that could not prepare a job says so, if none comes."""
TICK_TIMEOUT = 30.0
"""Seconds from one tick to the next unless the loop says otherwise."""


class HealthState:
    """The daemon's health, told by its threads."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Begin in the phase ``starting``, alive.

        Args:
            clock: Measures how long the main loop is silent.
            now: The time of day, for people.
        """
        self._clock = clock
        self._now = now
        self._lock = threading.RLock()
        self._due = clock() + START_TIMEOUT
        self._phase: Phase = "starting"
        self._started = self._since = now()
        self._worker: str | None = None
        self._queues: tuple[str, ...] = ()
        self._job_id: int | None = None
        self._contacts: dict[str, Contact] = {}
        self._outbox: Sized = ()
        self._parked = ParkedJobs()
        self._trouble, self._trouble_until = "", 0.0
        self._jobs: dict[str, int] = {}
        self._durations = Durations()
        self._peaks = Peaks()
        self._preloaded: tuple[PreloadedModule, ...] = ()
        self._imports: dict[str, Imports] = {}
        self._saved: dict[str, Imports] = {}
        self._excluded: dict[str, str] = {}

    # From the main loop.

    def tick(self, within: float = TICK_TIMEOUT) -> None:
        """Say that the main loop is alive; called by its thread only.

        Args:
            within: Seconds until the next tick at the latest: longer than usual when
                the loop is about to call something that may take its time.
        """
        with self._lock:
            self._due = self._clock() + within

    def preloaded(self, modules: Sequence[PreloadedModule]) -> None:
        """Say what was imported for runners before there was a job."""
        with self._lock:
            self._preloaded = tuple(modules)

    def phase(self, phase: Phase) -> None:
        """Say how far the daemon has come."""
        with self._changing():
            self._phase = phase

    def registered(self, worker: str, queues: Sequence[str]) -> None:
        """Say that the daemon is logged in and in RQ's books, and serves now."""
        with self._changing():
            self._worker = worker
            self._queues = tuple(queues)
            self._phase = "serving"

    # From any thread.

    def contact(self, service: str, ok: bool) -> None:
        """Say that a service answered, or that it did not."""
        with self._changing():
            now, known = self._now(), self._contacts.get(service, Contact())
            self._contacts[service] = (
                Contact(answered=now)
                if ok
                else Contact(
                    answered=known.answered, away_since=known.away_since or now
                )
            )

    @contextlib.contextmanager
    def contacting(self, service: str) -> Iterator[None]:
        """Note from how the block ends whether a service answers.

        A refusal is an answer. What is unavailable is noted under the name that the
        error gives; the error goes on.
        """
        try:
            yield
        except ServiceUnavailable as error:
            self.contact(error.service, ok=False)
            raise
        except ServiceRefused:
            self.contact(service, ok=True)
            raise
        self.contact(service, ok=True)

    def job_started(self, job_id: int) -> None:
        """Say that a job runs."""
        with self._changing():
            self._job_id = job_id

    def job_over(self) -> None:
        """Say that no job runs any more, whatever became of it."""
        with self._changing():
            self._job_id = None
            self._outbox = ()
            for service in self._contacts.keys() - NEEDED:  # only jobs ask those
                del self._contacts[service]

    def job_ended(self, fate: str, seconds: float) -> None:
        """Say how a job ended.

        Args:
            fate: As `common.outcome.Outcome` has it.
            seconds: How long it took.
        """
        with self._lock:
            self.job_over()
            self._jobs[fate] = self._jobs.get(fate, 0) + 1
            self._durations = self._durations.plus(seconds)

    def job_peak(self, peak: int | None) -> None:
        """Say how much memory, in bytes, a job's process held at most, if known."""
        if peak is not None:
            with self._lock:
                highest = max(peak, self._peaks.highest or 0)
                self._peaks = Peaks(last=peak, highest=highest)

    def excluded(self, reasons: Mapping[str, str]) -> None:
        """Say what is not imported before jobs come, and why, by module."""
        with self._lock:
            self._excluded = dict(reasons)

    def job_imported(self, module: str, seconds: float) -> None:
        """Say how long a job waited for the import of a module."""
        with self._lock:
            _count(self._imports, module, seconds)

    def job_saved(self, module: str, seconds: float) -> None:
        """Say how long a job did not wait for the import of a module."""
        with self._lock:
            _count(self._saved, module, seconds)

    def outbox(self, outbox: Sized) -> None:
        """Say what holds that which waits to be delivered to the API.

        Args:
            outbox: Asked for its length from any thread, until the job has ended.
        """
        with self._lock:
            self._outbox = outbox

    def trouble(self, words: str) -> None:
        """Say why a job could not be prepared here; empty when one could."""
        with self._changing():
            self._trouble = words
            self._trouble_until = self._clock() + TROUBLE_SHOWN

    def parked(self, jobs: Sequence[Parked]) -> None:
        """Say which jobs of our queues are parked now."""
        with self._lock:
            self._parked = ParkedJobs(jobs=tuple(jobs), seen=self._now())

    # For whoever shows it.

    @property
    def alive(self) -> bool:
        """Whether the main loop has ticked when it had to."""
        with self._lock:
            return self._clock() <= self._due

    def snapshot(self) -> Snapshot:
        """All of it at this moment."""
        with self._lock:
            return Snapshot(
                now=self._now(),
                alive=self.alive,
                phase=self._phase,
                state=self._state(),
                since=self._since,
                started=self._started,
                worker=self._worker,
                queues=self._queues,
                job_id=self._job_id,
                waiting_for=self._away(),
                contacts=dict(self._contacts),
                outbox=len(self._outbox),
                parked=self._parked,
                trouble=self._present_trouble(),
                jobs=dict(self._jobs),
                durations=self._durations,
                peaks=self._peaks,
                preloaded=self._preloaded,
                imports=dict(self._imports),
                saved=dict(self._saved),
                excluded=dict(self._excluded),
            )

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Change something, and note when that changes the state."""
        with self._lock:
            before = self._state()
            yield
            if self._state() != before:
                self._since = self._now()

    def _state(self) -> State:
        if self._phase == "ending":
            return "ending"
        if self._job_id is not None:
            return "busy"
        if self._away() or self._present_trouble():
            return "waiting"
        return "idle" if self._phase == "serving" else self._phase

    def _present_trouble(self) -> str:
        return self._trouble if self._clock() < self._trouble_until else ""

    def _away(self) -> tuple[str, ...]:
        return tuple(
            name
            for name, contact in sorted(self._contacts.items())
            if contact.away_since is not None
        )


def _count(modules: dict[str, Imports], module: str, seconds: float) -> None:
    """Count an import, of so many modules as are kept."""
    if module in modules or len(modules) < MAX_MODULES:
        modules[module] = modules.get(module, Imports()).plus(seconds)
