"""The daemon's health at one moment: frozen records."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.broker.parking import Parked
    from dioptra_worker.protocol.forkserver import PreloadedModule

Phase = Literal["starting", "serving", "suspended", "ending"]
State = Literal["starting", "idle", "busy", "waiting", "suspended", "ending"]

REDIS = "Redis"
API = "Dioptra API"
NEEDED = (REDIS, API)
"""Services without which no job can be taken."""

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
class Imports:
    """How long jobs waited for the import of a module.

    Attributes:
        jobs: How many did.
        seconds: How long, all together.
    """

    jobs: int = 0
    seconds: float = 0.0

    def plus(self, seconds: float) -> Imports:
        """The same with one job more."""
        return Imports(jobs=self.jobs + 1, seconds=self.seconds + seconds)


@dataclass(frozen=True, kw_only=True)
class ParkedJobs:
    """The jobs of the daemon's queues that are parked, whoever has parked them.

    Attributes:
        jobs: The jobs.
        seen: When that was so, in seconds since the epoch.
    """

    jobs: tuple[Parked, ...] = ()
    seen: float = 0.0


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
        outbox: Items for the API that are not delivered yet.
        parked: The jobs at which the API fails alone.
        trouble: Why jobs cannot be prepared here; empty when they can.
        jobs: How many jobs ended, by result.
        durations: How long they took.
        peaks: How much memory they took.
        preloaded: What was imported for them before they came.
        imports: What they waited to have imported, by module.
        saved: What they did not wait for, as the worker has learned to import it.
        excluded: Why it does not import a module beforehand, by module.
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
    parked: ParkedJobs
    trouble: str
    jobs: Mapping[str, int]
    durations: Durations
    peaks: Peaks
    preloaded: tuple[PreloadedModule, ...]
    imports: Mapping[str, Imports]
    saved: Mapping[str, Imports]
    excluded: Mapping[str, str]
