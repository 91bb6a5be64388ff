"""Finds jobs by what they are, with few requests.

The API filters by status and experiment only; the rest is looked at here, page after
page until enough are found. Once a search has been through all jobs, they are on the
`Shelf`, and the next one asks only for what has changed since.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.errors import NotFound
from dioptra_worker.jobs.kinds import Kinds, read_kinds
from dioptra_worker.jobs.row import JobRow
from dioptra_worker.resources.errors import Unknown
from dioptra_worker.resources.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from dioptra_worker.api.resources import Resources
    from dioptra_worker.jobs.shelf import Shelf

SIDE_BY_SIDE = 8
_FIRST = 25
_LONGEST = 400
"""Jobs of one request, the first and the longest: later ones are for the rare."""
_CHANGED = 20
"""Jobs of one request for what has changed."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which jobs are wanted; what is None does not matter.

    Attributes:
        kind: Their type.
        status: Their status, in Dioptra's words.
        queue: Their queue's name.
        experiment: Their experiment's name or id.
        user: Who submitted them.
    """

    kind: str | None = None
    status: str | None = None
    queue: str | None = None
    experiment: str | None = None
    user: str | None = None

    def fits(self, job: JobRow, kind: str) -> bool:
        """Whether a job is wanted."""
        return (
            self.kind in {None, kind}
            and self.status in {None, job.status}
            and self.queue in {None, job.queue}
            and self.user in {None, job.user}
            and self.experiment in {None, job.experiment, str(job.experiment_id)}
        )


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A job of a list with what the list's last columns need.

    Attributes:
        job: The job.
        kind: Its type.
        timeline: Its statuses; empty before it has started.
    """

    job: JobRow
    kind: str
    timeline: Timeline

    def age(self, now: datetime) -> float:
        """Seconds since it was submitted."""
        return max(0.0, (now - self.job.created).total_seconds())

    def took(self, now: datetime) -> float | None:
        """Seconds that it ran, or has been running; None before it starts."""
        if self.job.has_ended:
            return self.timeline.ran
        return self.timeline.running(now)


@dataclass(frozen=True)
class Found:
    """Some jobs.

    Attributes:
        jobs: The jobs, the newest first.
        more: Whether there are more behind them.
    """

    jobs: tuple[Listed, ...]
    more: bool


class Listing:
    """The jobs that a user can see; may be asked by several threads."""

    def __init__(self, resources: Resources, *, shelf: Shelf) -> None:
        self._resources = resources
        self._shelf = shelf
        self._lock = threading.Lock()

    def find(self, wanted: Filter, *, limit: int, skip: int = 0) -> Found:
        """Find jobs, the newest first.

        Args:
            wanted: Which.
            limit: How many at most.
            skip: How many to leave out, for a page further on.

        Raises:
            Unknown: There is no such experiment.
            ServiceError: The API refused, or cannot be asked.
        """
        with self._lock:
            kinds = read_kinds(self._resources)
            fitting = (
                (job, kind)
                for job in self._jobs(wanted, skip + limit + 1)
                if wanted.fits(job, kind := kinds.of(job))
            )
            chosen = list(itertools.islice(fitting, skip, skip + limit + 1))
            found = self._with_timelines([job for job, _ in chosen[:limit]], kinds)
            self._shelf.save()
        return Found(found, more=len(chosen) > limit)

    def _jobs(self, wanted: Filter, count: int) -> Iterator[JobRow]:
        """Yield jobs, the newest first; all that are wanted, and maybe others."""
        if self._shelf.complete and self._refresh():
            yield from sorted(
                self._shelf.jobs.values(), key=lambda job: job.created, reverse=True
            )
            return
        query: dict[str, Any] = {}
        if wanted.status is not None:
            query["status"] = wanted.status
        if wanted.experiment is not None:
            query["experiment"] = self._experiment(wanted.experiment)
        seen: dict[int, JobRow] = {}
        lengths = itertools.chain([max(count, _FIRST)], itertools.repeat(_LONGEST))
        for length in lengths:
            index = len(seen)
            bodies, total = self._resources.jobs_page(
                index=index, length=min(length, _LONGEST), **query
            )
            for body in bodies:
                job = JobRow.read(body)
                if job.id not in seen:  # a new job has moved the pages under us
                    seen[job.id] = job
                    yield job
            if not bodies or index + len(bodies) >= total:
                break
        if not query:
            self._shelf.replace(seen)

    def _refresh(self) -> bool:
        """Bring the shelf up to date; False when jobs have gone, too."""
        known = self._shelf.jobs
        newest = max((job.modified for job in known.values()), default=None)
        changed: dict[int, JobRow] = {}
        index, total = 0, 1
        while index < total:
            bodies, total = self._resources.jobs_page(
                index=index, length=_CHANGED, sort="lastModifiedOn"
            )
            jobs = [JobRow.read(body) for body in bodies]
            changed |= {job.id: job for job in jobs}
            index += len(jobs)
            if not jobs or (newest is not None and jobs[-1].modified < newest):
                break
        merged = known | changed
        self._shelf.complete = len(merged) == total or not merged
        if self._shelf.complete:
            self._shelf.replace(merged)
        return self._shelf.complete

    def _experiment(self, name: str) -> int:
        found = self._resources.find("experiments", name)
        if found is None and name.isdigit():
            found = int(name)
        if found is None:
            raise Unknown(f"the API has no experiment {name!r}")
        return found

    def _with_timelines(
        self, jobs: Sequence[JobRow], kinds: Kinds
    ) -> tuple[Listed, ...]:
        """Read the timelines that are not known, side by side."""
        shelf = self._shelf
        known = {job.id: shelf.timeline(job) for job in jobs}
        missing = [
            job for job in jobs if job.status != "queued" and known[job.id] is None
        ]
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for job, read in zip(
                missing, pool.map(self._timeline, missing), strict=True
            ):
                shelf.put_timeline(job, read)
                known[job.id] = read
        return tuple(
            Listed(
                job=job,
                kind=kinds.of(job),
                timeline=known[job.id] or Timeline(()),
            )
            for job in jobs
        )

    def _timeline(self, job: JobRow) -> Timeline:
        try:
            return Timeline(tuple(self._resources.timeline(job.id)))
        except NotFound:  # it was deleted a moment ago
            return Timeline(())
