"""Finds jobs by what they are, with few requests.

The API filters by status and experiment only; the rest is looked at here, page after
page until enough are found. The newest jobs that a search has been through are then on
the `TimelineCache`, and the next one asks only for what has changed since.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.api.models import StatusChange
from dioptra_worker.common.background import Pool
from dioptra_worker.errors import NotFound
from dioptra_worker.tools.jobs.job_row import JobRow
from dioptra_worker.tools.jobs.job_types import JobTypes, read_job_types
from dioptra_worker.tools.resources.names import id_of, refuse_unknown
from dioptra_worker.tools.resources.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.timeline_cache import TimelineCache

SEARCH_TIME = 3.0
"""Seconds that a search may take where somebody waits for a page."""
PARALLEL_REQUESTS = 8
_FIRST_PAGE = 25
_MAX_PAGE = 400
"""Jobs of one request, the first and the longest: later ones are for the rare."""
_TIMED_PAGE = 100
"""Jobs of one request where somebody waits; the API takes seconds for the longest."""
_CHANGED_PAGE = 20
"""Jobs of the first request for what has changed."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which jobs are wanted; what is None does not matter.

    Attributes:
        job_type: Their type.
        status: Their status, in Dioptra's words.
        queue: Their queue's name.
        experiment: Their experiment's name or id.
        user: Who submitted them.
        entrypoint: Their entrypoint's name or id.
        among: The ids of those that are asked for.
    """

    job_type: str | None = None
    status: str | None = None
    queue: str | None = None
    experiment: str | None = None
    user: str | None = None
    entrypoint: str | None = None
    among: frozenset[int] | None = None

    def matches(self, job: JobRow, job_type: str) -> bool:
        """Whether a job is wanted."""
        return (
            self.job_type in {None, job_type}
            and self.status in {None, job.status}
            and self.queue in {None, job.queue}
            and self.user in {None, job.user}
            and self.experiment in {None, job.experiment, str(job.experiment_id)}
            and self.entrypoint in {None, job.name, str(job.entrypoint_id)}
            and (self.among is None or job.id in self.among)
        )


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A job of a list with what the list's last columns need.

    Attributes:
        job: The job.
        job_type: Its type.
        timeline: Its statuses; empty before it has started.
    """

    job: JobRow
    job_type: str
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
        unseen: How many older jobs have not been looked at, since time was up.
    """

    jobs: tuple[Listed, ...]
    more: bool
    unseen: int = 0


@dataclass
class _Search:
    """One search.

    Attributes:
        deadline: When what was found so far is enough, by the monotonic clock.
        unseen: How many older jobs it has not looked at.
    """

    deadline: float
    unseen: int = 0

    @property
    def max_page(self) -> int:
        """How many jobs to ask for in one request."""
        return _MAX_PAGE if self.deadline == math.inf else _TIMED_PAGE


class Listing:
    """The jobs that a user can see; may be asked by several threads.

    Args:
        client: The API.
        cache: What is known from before.
        on_progress: Told of how many jobs the times have been read, and of how many
            they have to be.
    """

    def __init__(
        self,
        client: UserClient,
        *,
        cache: TimelineCache,
        on_progress: Callable[[int, int], object] = lambda _done, _of: None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._on_progress = on_progress
        self._lock = threading.Lock()

    def find(
        self, wanted: Filter, *, limit: int, skip: int = 0, seconds: float = math.inf
    ) -> Found:
        """Find jobs, the newest first.

        Args:
            wanted: Which.
            limit: How many at most.
            skip: How many to leave out, for a page further on.
            seconds: How long to look, about; the same search then goes on from there.
                What the API filters is looked through to its end, as that is not kept.

        Raises:
            Unknown: There is no such experiment; with those that are near.
            ServiceError: The API refused, or cannot be asked.
        """
        with self._lock:
            search = _Search(time.monotonic() + seconds)
            try:
                chosen, job_types = self._chosen(
                    wanted, search, skip=skip, count=limit + 1
                )
                found = self._with_timelines(chosen[:limit], job_types)
            finally:  # what is known need not be asked for again, even after Ctrl-C
                self._cache.save()
            return Found(found, more=len(chosen) > limit, unseen=search.unseen)

    def refuse_unknown(self, wanted: Filter) -> None:
        """Refuse a filter that finds nothing since a name in it is mistyped.

        Raises:
            Unknown: There is no such queue, entrypoint or user; with those that are
                near.
            ServiceError: The API refused, or cannot be asked.
        """
        refuse_unknown(self._client, "queues", wanted.queue)
        refuse_unknown(self._client, "entrypoints", wanted.entrypoint)
        refuse_unknown(self._client, "users", wanted.user)

    def _chosen(
        self, wanted: Filter, search: _Search, *, skip: int, count: int
    ) -> tuple[list[JobRow], JobTypes]:
        job_types = read_job_types(self._client)
        matching = (
            job
            for job in self._jobs(wanted, search, skip + count)
            if wanted.matches(job, job_types.of(job))
        )
        return list(itertools.islice(matching, skip, skip + count)), job_types

    def _jobs(self, wanted: Filter, search: _Search, count: int) -> Iterator[JobRow]:
        """Yield jobs, the newest first; all that are wanted, and maybe others."""
        query: dict[str, Any] = {}
        if wanted.status is not None:
            query["status"] = wanted.status
        if wanted.experiment is not None:
            query["experiment"] = id_of(self._client, "experiments", wanted.experiment)
        seen: dict[int, JobRow] = {}
        # Where the API can filter, that is less than going on behind what is known.
        if (self._cache.rest == 0 or not query) and self._refresh(search):
            query, seen = {}, dict(self._cache.jobs)
            by_age = sorted(seen.values(), key=lambda job: job.created, reverse=True)
            yield from by_age
            if self._cache.rest == 0:
                return
        repeats = 0
        first = min(max(count - len(seen), _FIRST_PAGE), search.max_page)
        for length in itertools.chain([first], itertools.repeat(search.max_page)):
            index = len(seen)
            bodies, total = self._client.jobs_page(index=index, length=length, **query)
            jobs = [job for job in map(JobRow.read, bodies) if job.id not in seen]
            seen |= {job.id: job for job in jobs}  # a new job moves the pages under us
            # Of an API that sends the same again and again, nothing more is to be had.
            repeats = 0 if jobs else repeats + 1
            is_over = not bodies or repeats > 1
            rest = 0 if is_over else max(0, total - index - len(bodies))
            is_late = not query and time.monotonic() >= search.deadline
            # Before they are handed out: who asks may have enough of them.
            if not query and (rest == 0 or is_late or len(seen) > _MAX_PAGE):
                self._cache.replace(dict(seen), rest=rest)
            yield from jobs
            if rest == 0 or is_late:
                search.unseen = rest
                return

    def _refresh(self, search: _Search) -> bool:
        """Bring the cache up to date; False when it cannot be, or jobs have gone."""
        known, rest = self._cache.jobs, self._cache.rest
        if rest is None:
            return False
        newest = max((job.modified for job in known.values()), default=None)
        oldest = min((job.created for job in known.values()), default=None)
        changed: dict[int, JobRow] = {}
        index, total = 0, 1
        lengths = itertools.chain([_CHANGED_PAGE], itertools.repeat(search.max_page))
        for length in lengths:
            bodies, total = self._client.jobs_page(
                index=index, length=length, sort="lastModifiedOn"
            )
            jobs = [JobRow.read(body) for body in bodies]
            is_new = any(job.id not in changed for job in jobs)
            changed |= {job.id: job for job in jobs}
            index += len(jobs)
            if index >= total or not is_new:
                break
            if newest is not None and jobs[-1].modified < newest:
                break
        if rest and oldest is not None:  # what has changed may be older than we know
            changed = {
                id_: job for id_, job in changed.items() if job.created >= oldest
            }
        merged = known | changed
        if len(merged) + rest != total:
            self._cache.clear()
            return False
        self._cache.replace(merged, rest=rest)
        return True

    def _with_timelines(
        self, jobs: Sequence[JobRow], job_types: JobTypes
    ) -> tuple[Listed, ...]:
        """Read the timelines that are not known, side by side."""
        cache = self._cache
        known = {job.id: cache.timeline(job) for job in jobs}
        missing = [
            job for job in jobs if job.status != "queued" and known[job.id] is None
        ]
        with Pool("dioptra-listing", max_parallel=PARALLEL_REQUESTS) as pool:
            reading = zip(missing, pool.map(self._timeline, missing), strict=True)
            for done, (job, read) in enumerate(reading, start=1):
                cache.put_timeline(job, read)
                known[job.id] = read
                self._on_progress(done, len(missing))
        return tuple(
            Listed(
                job=job,
                job_type=job_types.of(job),
                timeline=known[job.id] or Timeline(()),
            )
            for job in jobs
        )

    def _timeline(self, job: JobRow) -> Timeline:
        try:
            return self._usual(job) or Timeline(tuple(self._client.timeline(job.id)))
        except NotFound:  # it was deleted a moment ago
            return Timeline(())

    def _usual(self, job: JobRow) -> Timeline | None:
        """The timeline of a job that was queued, was started and has ended, as most.

        The API takes some milliseconds for each status, and the list has two of them.
        """
        if not job.has_ended:
            return None
        started, count = self._client.second_status(job.id)
        if started is None or started.status != "started" or count != 3:
            return None
        return Timeline(
            (
                StatusChange(status="queued", at=job.created),
                started,
                StatusChange(status=job.status, at=job.since),
            )
        )
