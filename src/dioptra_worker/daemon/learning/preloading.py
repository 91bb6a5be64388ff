"""What jobs wait for is imported before they come, in idle time.

A job gets it only if it is known to gain by it: another job of the same snapshot of its
entrypoint has waited for it, and the code of that was looked at and names no variable
that a library reads when it is imported. All other jobs run as if nothing was learned.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.common.background import in_background
from dioptra_worker.common.text.humanize import size
from dioptra_worker.daemon.learning.variables import named_in
from dioptra_worker.errors import WorkerTrouble
from dioptra_worker.protocol.preload_rules import NOT_LEARNED
from dioptra_worker.supervision.oom import memory_limit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from dioptra_worker.api.models import Job
    from dioptra_worker.daemon.learning.import_costs import ImportCosts, Learned
    from dioptra_worker.daemon.learning.other_workers import OtherWorkers
    from dioptra_worker.protocol.forkserver import PreloadedModule
    from dioptra_worker.protocol.messages import ModuleImported
    from dioptra_worker.supervision.launcher import Launcher

log = logging.getLogger("dioptra_worker.imports")

WORTH_SECONDS = 0.1
"""Of an import, in the mean: what takes less is not imported beforehand."""
MAX_LEARNED = 16
"""Modules that are imported beforehand; those that jobs waited longest for."""
MAX_ENTRYPOINTS = 256
"""Snapshots of entrypoints of which something is known."""
IDLE_TIME = 0.5
"""Seconds without a job before anything is imported."""

LARGEST_PART = 4
"""What is imported beforehand takes no more than one of so many parts of memory."""
RECENT_JOBS = 16
"""Of so many jobs one has gained by it if the next may be expected to."""
MAX_LOSSES = 5
"""Fork servers that may be lost, as for want of memory, until no more is made."""

_Key = tuple[int, int]
"""An entrypoint and its snapshot."""


@dataclass
class _Seen:
    """What is known of one snapshot of an entrypoint.

    Attributes:
        variable: A variable that its code may set, so that it gets nothing that was
            imported before; empty for none.
        modules: What its jobs waited for.
    """

    variable: str = ""
    modules: set[str] = field(default_factory=set)


class Told(Protocol):
    """What shows what was learned; none of its methods waits."""

    def preloaded(self, modules: Sequence[PreloadedModule]) -> None:
        """What is imported beforehand, and its cost."""

    def excluded(self, reasons: Mapping[str, str]) -> None:
        """What is not, and why, by module."""

    def job_saved(self, module: str, seconds: float) -> None:
        """A job did not wait for a module."""


class Preloading:
    """Decides what is imported beforehand, and which jobs get it; for any thread."""

    def __init__(
        self,
        launcher: Launcher,
        costs: ImportCosts,
        *,
        queues: Collection[str],
        memory: int,
        learns: bool = True,
        told: Told,
        others: OtherWorkers,
        idle_time: float = IDLE_TIME,
    ) -> None:
        """Prepare; nothing is imported yet.

        Args:
            launcher: Makes the fork server that imports.
            costs: What jobs have waited for.
            queues: Whose jobs.
            memory: By how many bytes that fork server may grow.
            learns: Whether anything is to be imported; what jobs wait for is kept in
                any case.
            told: Shows it.
            others: Workers that share this folder, such as the other slots: while one
                has a job, nothing is imported.
            idle_time: Seconds without a job before anything is imported.
        """
        self._launcher = launcher
        self._costs = costs
        self._queues = queues
        self._memory = memory
        self._told = told
        self._others = others
        self._idle_time = idle_time
        self._lock = threading.Lock()
        self._seen: dict[_Key, _Seen] = {}
        self._busy = threading.Event()
        self._works = False
        self._is_off = memory == 0 or not learns
        self._tells_others = not self._is_off  # they learn likewise
        self._has_news = True
        self._had: object = None
        self._recent: deque[_Key | None] = deque(maxlen=RECENT_JOBS)
        self._losses = 0
        self._given_up: dict[str, str] = {}

    # From the main loop.

    def idle(self) -> None:
        """No job runs and none waits: import what is worth it, in a thread."""
        self._busy.clear()
        if self._tells_others:
            self._others.have_no_job()
        self._launcher.resume_learning()
        if self._had is not None and self._launcher.learned is None:
            self._had = None
            self._losses += 1
            self._has_news = True
            self._is_off = self._is_off or self._losses == MAX_LOSSES
        self._begin()

    def busy(self) -> None:
        """A job comes: the machine is the job's."""
        self._busy.set()
        if self._tells_others:
            self._others.have_job()
        self._launcher.pause_learning()

    # From a job's threads.

    def look_at(
        self, job: Job, own: Iterable[Path], others: Iterable[Path] = ()
    ) -> None:
        """Look at a job's code, before any of it runs.

        Args:
            job: The job.
            own: Where the code of its entrypoint's snapshot lies, which never changes.
            others: Where other code lies: what reads its input artifacts.
        """
        if self._is_off:
            return
        key = _key(job)
        with self._lock:
            known = self._seen.get(key)
        variable = named_in([*others, *(own if known is None else ())]) or ""
        with self._lock:
            seen = self._seen.pop(key, known or _Seen())
            seen.variable = seen.variable or variable
            self._seen[key] = seen
            while len(self._seen) > MAX_ENTRYPOINTS:
                del self._seen[next(iter(self._seen))]

    def is_learned(self, job: Job) -> bool:
        """Whether a job is to have what was imported beforehand."""
        return self._gain(_key(job)) is not None

    def expected_gain(self) -> float | None:
        """Seconds that the next job may gain by it, as a recent one; None if none."""
        recent = {key for key in [*self._recent] if key is not None}
        gains = [gain for key in recent if (gain := self._gain(key)) is not None]
        return max(gains, default=None)

    def _gain(self, key: _Key) -> float | None:
        """Seconds that a job gains by it; None if it is not to have it."""
        learned = self._launcher.learned
        with self._lock:
            seen = self._seen.get(key)
            if learned is None or seen is None or seen.variable:
                return None
            gained = [one for one in learned.preloaded if one.module in seen.modules]
        return sum(one.seconds for one in gained) if gained else None

    def learn(
        self,
        queue: str,
        job: Job | None,
        imports: Iterable[ModuleImported],
        *,
        too_late: str = "",
    ) -> None:
        """Keep what a job has waited for.

        Args:
            queue: Its queue.
            job: The job, if its record was had.
            imports: What its runner said.
            too_late: A variable that it has set too late; empty for none.
        """
        self._recent.append(None if job is None else _key(job))
        given = list(imports)
        waited = [each for each in given if not each.saved]
        self._count_saved(each.module for each in given if each.saved)
        with self._lock:
            seen = None if job is None else self._seen.get(_key(job))
            if seen is not None:
                seen.variable = seen.variable or too_late
                seen.modules |= {each.module for each in waited}
        if waited:
            with contextlib.suppress(WorkerTrouble):  # a later job waits for it, too
                in_background(lambda: self._keep(queue, waited), "dioptra-imports")

    def _count_saved(self, modules: Iterable[str]) -> None:
        """Show what a job did not wait for, by what it has cost us."""
        learned = self._launcher.learned
        if learned is not None:
            cost = {one.module: one.seconds for one in learned.preloaded}
            for module in set(modules) & cost.keys():
                self._told.job_saved(module, cost[module])

    def _keep(self, queue: str, waited: list[ModuleImported]) -> None:
        self._costs.learn(queue, waited)
        self._has_news = True
        self._begin()

    def _begin(self) -> None:
        with self._lock:
            is_needed = self._has_news and not self._is_off and not self._works
            if self._busy.is_set() or not is_needed:
                return
            self._works = True
        try:
            in_background(self._work, "dioptra-preload")
        except WorkerTrouble:  # it is tried again the next time that there is no job
            with self._lock:
                self._works = False

    def _work(self) -> None:
        """Import what is worth it, until there is no more to do, or a job comes."""
        try:
            while not self._is_off and not self._busy.wait(self._idle_time):
                if not self._others.are_idle():
                    continue
                self._has_news = False
                modules = self._missing()
                if not modules:
                    return
                self._import(modules)
        except Exception:
            log.exception("what jobs wait for is not imported beforehand any more")
            self._is_off = True
        finally:
            with self._lock:
                self._works = False
            if self._has_news:  # it came while we looked last
                self._begin()

    def _missing(self) -> list[str]:
        """What to import, if there is more than there is already."""
        kept = self._costs.kept()
        self._tell_excluded(kept)
        found = worth(kept, self._queues)
        modules = [module for module in found if module not in self._given_up]
        learned = self._launcher.learned
        known = () if learned is None else [one.module for one in learned.preloaded]
        return modules if set(modules) - set(known) else []

    def _tell_excluded(self, kept: Learned) -> None:
        self._told.excluded({**kept.excluded, **self._given_up})

    def _import(self, modules: list[str]) -> None:
        refusal = self._launcher.learn(
            modules, memory=self._memory, may_go_on=self._others.are_idle
        )
        if refusal is None:
            learned = self._had = self._launcher.learned
            if learned is not None:
                costs = [one for one in learned.preloaded if one.module in modules]
                self._told.preloaded(learned.preloaded)
                log.info(
                    "jobs do not wait any more for %s (%s of memory)",
                    ", ".join(modules),
                    size(sum(one.memory for one in costs)),
                    extra={"event": "preloaded"},
                )
        elif refusal.module:
            log.info(
                "%s is not imported before jobs that wait for it: its import %s",
                refusal.module,
                refusal.reason,
                extra={"event": "excluded"},
            )
            if refusal.may_pass:  # the next start of the worker tries it again
                self._given_up[refusal.module] = refusal.reason
            else:
                self._costs.exclude(refusal.module, refusal.reason)
            self._tell_excluded(self._costs.kept())
        else:
            log.info("nothing is imported before jobs come: %s", refusal.reason)
            self._is_off = True


def bound(memory: int, *, slots: int = 1) -> int:
    """By how many bytes one slot's worker may grow for what it has learned.

    Args:
        memory: What the settings allow.
        slots: How many slots there are.
    """
    return min(memory, memory_limit() // LARGEST_PART) // slots


def worth(kept: Learned, queues: Collection[str]) -> list[str]:
    """The modules that are worth being imported beforehand, the greatest first."""
    return [
        cost.module
        for cost in kept.of(queues)
        if cost.mean >= WORTH_SECONDS
        and cost.module not in kept.excluded
        and cost.module.partition(".")[0] not in NOT_LEARNED
    ][:MAX_LEARNED]


def _key(job: Job) -> _Key:
    return job.entrypoint_id, job.entrypoint_snapshot_id
