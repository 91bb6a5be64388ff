"""What the daemon knows about its own health; safe from any thread, never blocking.

The daemon's threads tell it what happens; the heartbeat file and the HTTP port show
it (`dioptra_worker.daemon.health`). It asks no service anything.
"""

from __future__ import annotations

import contextlib
import threading
import time
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dioptra_worker.errors import ServiceRefused, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Phase = Literal["starting", "serving", "suspended", "ending"]
State = Literal["starting", "idle", "busy", "waiting", "suspended", "ending"]

REDIS = "Redis"
API = "Dioptra API"
NEEDED = (REDIS, API)
"""Services without which no job can be taken."""

START = 120.0
"""Seconds that the daemon may take from its start to its first tick."""
WITHIN = 30.0
"""Seconds from one tick to the next unless the loop says otherwise."""
BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Upper bounds, in seconds, by which jobs' durations are counted."""


@dataclass(frozen=True, kw_only=True)
class Contact:
    """How it stands with a service; times are seconds since the epoch.

    Attributes:
        answered: When it last answered, None if it never has.
        away_since: When it first failed to answer since then, None if it has not.
    """

    answered: float | None = None
    away_since: float | None = None


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long jobs took, as Prometheus counts it.

    Attributes:
        counts: Jobs per bucket of `BUCKETS`, and those that took longer still.
        total: Seconds of all of them together.
    """

    counts: tuple[int, ...] = (0,) * (len(BUCKETS) + 1)
    total: float = 0.0

    def plus(self, seconds: float) -> Durations:
        """The same with one job more."""
        place = bisect_left(BUCKETS, seconds)
        counts = tuple(n + (i == place) for i, n in enumerate(self.counts))
        return Durations(counts=counts, total=self.total + seconds)


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The most memory, in bytes, that jobs' processes held; None before the first.

    Attributes:
        last: The latest job's.
        highest: The greatest of all.
    """

    last: int | None = None
    highest: int | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The daemon's health at one moment; times are seconds since the epoch.

    Attributes:
        now: That moment.
        alive: Whether the main loop is where it should be.
        phase: How far the daemon has come.
        state: What it does.
        since: Since when it has done that.
        started: When the daemon started.
        worker: Its name, once registered.
        queues: The queues that it serves.
        job_id: The job that it runs.
        waiting_for: The services that do not answer.
        contacts: How it stands with each service, by name.
        outbox: Parcels for the API that are not delivered yet.
        jobs: How many jobs ended, by result.
        durations: How long they took.
        peaks: How much memory they took.
    """

    now: float
    alive: bool
    phase: Phase
    state: State
    since: float
    started: float
    worker: str | None
    queues: tuple[str, ...]
    job_id: int | None
    waiting_for: tuple[str, ...]
    contacts: Mapping[str, Contact]
    outbox: int
    jobs: Mapping[str, int]
    durations: Durations
    peaks: Peaks


class Vitals:
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
        self._due = clock() + START
        self._phase: Phase = "starting"
        self._started = self._since = now()
        self._worker: str | None = None
        self._queues: tuple[str, ...] = ()
        self._job_id: int | None = None
        self._contacts: dict[str, Contact] = {}
        self._outbox = 0
        self._jobs: dict[str, int] = {}
        self._durations = Durations()
        self._peaks = Peaks()

    # -- from the main loop ----------------------------------------------------

    def tick(self, within: float = WITHIN) -> None:
        """Say that the main loop is alive; called by its thread only.

        Args:
            within: Seconds until the next tick at the latest: longer than usual when
                the loop is about to call something that may take its time.
        """
        with self._lock:
            self._due = self._clock() + within

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

    # -- from any thread -------------------------------------------------------

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

    def job_ended(self, fate: str, seconds: float, peak: int | None = None) -> None:
        """Say how a job ended.

        Args:
            fate: As `dioptra_worker.daemon.verdict.Verdict` has it.
            seconds: How long it took.
            peak: The most memory, in bytes, that its process held, if anybody saw.
        """
        with self._changing():
            self._job_id = None
            self._outbox = 0
            self._jobs[fate] = self._jobs.get(fate, 0) + 1
            self._durations = self._durations.plus(seconds)
            if peak is not None:
                highest = max(peak, self._peaks.highest or 0)
                self._peaks = Peaks(last=peak, highest=highest)

    def outbox(self, depth: int) -> None:
        """Say how many parcels wait to be delivered to the API."""
        with self._lock:
            self._outbox = depth

    # -- for whoever shows it --------------------------------------------------

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
                outbox=self._outbox,
                jobs=dict(self._jobs),
                durations=self._durations,
                peaks=self._peaks,
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
        if self._away():
            return "waiting"
        return "idle" if self._phase == "serving" else self._phase

    def _away(self) -> tuple[str, ...]:
        return tuple(
            name
            for name, contact in sorted(self._contacts.items())
            if contact.away_since is not None
        )
