"""Workers that share one job, and lose their lives, their leases or an answer.

Handlers, attempts, journals and outboxes are real, each worker's in a folder of its
own; runners, the fork server, the REST API, Redis and RQ's books are simulated. What
happens from outside happens at an operation of a worker on a service, or at a moment of
its runner's.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, cast

from tests.plugins.until import until
from tests.unit.daemon.job.simulated_platform import (
    OUTPUTS,
    PlanningApi,
    attempt_context,
    is_prefetching,
)
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, JOB
from tests.unit.supervision.simulated_runner import Conduct, Forkserver

from dioptra_worker.broker.leases import Beginning
from dioptra_worker.broker.parking import Parked, Trouble
from dioptra_worker.broker.records import LeaseHolder
from dioptra_worker.broker.rq.payload import FUNCTION
from dioptra_worker.common.stop import LEASE_LOST, JobStop, StopRequest
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.daemon.job.handler import Handler
from dioptra_worker.daemon.outbox.journal import Journals
from dioptra_worker.daemon.recovery.orphaned_outboxes import OrphanedOutboxes
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dioptra_worker.broker.records import PendingStatus

What = Literal[
    "killed before",
    "killed after",
    "superseded",
    "overtaken",
    "no answer",
    "shutdown",
    "set finished",
    "set failed",
    "set reset",
]
PATIENCE = 0.001
"""What pauses between two tries are multiplied with."""
SHUTDOWN = StopRequest("shutdown", "the worker was shut down")
LONG_AGO = 1e9
"""Seconds for which a parked job has waited that is to be given up."""


class Killed(BaseException):
    """The worker is no more: nothing of it may go on."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happens to a worker.

    Attributes:
        where: The operation, or the moment of its runner's, by name.
        nth: Which of that name, from 0.
        what: ``killed`` before or after the operation; ``superseded``, when its lease
            is over and others have the job before it gets the answer; ``overtaken``,
            when they have it before what it asks arrives, too; or there is no answer,
            it is to shut down, or somebody sets the status of the job in the API.
    """

    where: str
    nth: int
    what: What


@dataclass(frozen=True, kw_only=True)
class Life:
    """One worker's turn at the job.

    Attributes:
        machine: Whose folder it has.
        end: How its runner ends.
        event: What happens to it, if anything.
        broken: The operation at which the API fails, and at nothing else, if at any.
        waited: Whether the API has failed for so long that it is to give up.
        has_run: Whether its runner gets as far as an MLflow run.
    """

    machine: str
    end: Literal["finished", "failed", "waits"] = "finished"
    event: Event | None = None
    broken: str | None = None
    waited: bool = False
    has_run: bool = True


class Redis:
    """What workers tell each other; the lease on the job runs out when it is told to.

    Attributes:
        owner: Who has the lease.
        pending: The end that the API is yet to be told.
        ended: Which attempt the job has ended in, unless it was the first.
        attempts: How often the job was started, as far as that counts.
    """

    def __init__(self) -> None:
        self.owner: object | None = None
        self.pending: PendingStatus | None = None
        self.ended: int | None = None
        self.attempts: list[str] = []
        self.lock = threading.Lock()

    def seen_by(self, worker: object) -> _View:
        """Redis as one worker sees it."""
        return _View(self, worker)


@dataclass
class _View:
    redis: Redis
    me: object

    def acquire(self, job_id: int, stop: JobStop | None = None) -> LeaseHolder | None:
        """Take the lease, unless another has it."""
        del job_id, stop
        if self.redis.owner in (None, self.me):
            self.redis.owner = self.me
            return None
        return LeaseHolder("another", "elsewhere", pid=1, birth="")

    def begin(self, job_id: int, token: str, stop: JobStop) -> Beginning:
        """Take the lease and count a start, once."""
        if (holder := self.acquire(job_id, stop)) is not None:
            return Beginning(holder=holder)
        if token not in self.redis.attempts:
            self.redis.attempts.append(token)
        is_noted = self.redis.pending is not None
        return Beginning(attempt=len(self.redis.attempts), is_noted=is_noted)

    def release(
        self, job_id: int, token: str, *, is_settled: bool, is_over: bool = False
    ) -> None:
        """Give the lease back, if it is ours."""
        del job_id, token, is_settled
        if self.redis.owner not in (None, self.me):
            return
        self.redis.owner = None
        if is_over:
            self.redis.attempts.clear()
            self.redis.pending = None

    def is_held_elsewhere(self, job_id: int) -> bool:
        """Whether another has the job."""
        del job_id
        return self.redis.owner not in (None, self.me)

    def uncount_attempt(self, job_id: int, token: str) -> None:
        """Count the last start no more."""
        del job_id
        if self.redis.attempts[-1:] == [token]:
            self.redis.attempts.pop()

    def forget_attempts(self, job_id: int) -> None:
        """The job has ended."""
        del job_id
        self.redis.attempts.clear()

    def pending_status(self, job_id: int) -> PendingStatus | None:
        """The end that the API is yet to be told."""
        del job_id
        return self.redis.pending

    def record_pending_status(
        self, pending: PendingStatus, stop: JobStop
    ) -> LeaseHolder | None:
        """Note an end, in one step with the lease."""
        with (
            self.redis.lock
        ):  # what a worker writes that owns the lease arrives in time
            if stop.superseded is not None:
                raise ServiceUnavailable("too late", service="Redis")
            holder = self.acquire(pending.job_id, stop)
            if holder is None:
                self.redis.pending = pending
                if pending.attempt > 1:
                    self.redis.ended = pending.attempt
        return holder

    def ended_attempt(self, job_id: int) -> int | None:
        """Which attempt the job has ended in, unless it was the first."""
        del job_id
        return self.redis.ended

    def clear_pending_status(self, job_id: int) -> None:
        """The API was told."""
        del job_id
        self.redis.pending = None

    runs = SimpleNamespace(
        record_known=lambda *_, **__: True,
        record_begun=lambda *_: True,
        remember_begun=lambda *_: None,
        take_over=lambda *_, **__: True,
    )


class World:
    """A job, what knows of it, and the workers that have their turns at it.

    Attributes:
        api: The REST API.
        redis: What workers tell each other.
        queued: How often the job is in its queue.
        parked: Whether it waits for the API.
        is_removed: Whether RQ has no record of it any more.
        runs: The MLflow runs of its attempts, in order.
        lives: The turns that are to come.
        on_moment: What else happens at a moment of any runner's.
    """

    def __init__(self, folder: Path, lives: list[Life]) -> None:
        self.api = PlanningApi(status="queued")
        self.redis = Redis()
        self.queued = 1
        self.parked = self.is_removed = False
        self.runs: list[str] = []
        self.lives = lives
        self.on_moment: dict[str, Callable[[], object]] = {}
        self._root = folder
        self._lock = threading.Lock()
        self._under_way = 0
        self._copies = 0
        self._folders: dict[str, Path] = {}

    def folder(self, machine: str) -> Path:
        """The work folder of a machine."""
        return self._folders.setdefault(machine, self._root / machine)

    def live(self, life: Life) -> Worker:
        """Have a worker take the job, and wait for all who have it meanwhile."""
        worker = self._live(life)
        until(lambda: self._under_way == 0)
        until(lambda: not is_prefetching())
        return worker

    def _live(self, life: Life) -> Worker:
        """Have a worker take the job, which is in its queue by then."""
        if self.queued == 0:  # recovery has found it
            self.queued, self.parked = 1, False
        self.queued -= 1
        worker = Worker(self, life)
        with self.under_way():
            worker.handle()
        return worker

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Have what comes of the job waited for until the end of the block."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def others_have_it(self) -> None:
        """The lease is over: the next worker has its turn."""
        if self.lives:
            self._live(self.lives.pop(0))

    def leave_behind(self, machine: str) -> None:
        """What a machine's disk has at this moment is all that is left there."""
        self._copies += 1
        left = self._root / f"{machine}-{self._copies}"
        shutil.copytree(self.folder(machine) / "outbox", left / "outbox")
        self._folders[machine] = left

    def sweep(self) -> None:
        """Have what lost workers left on their machines delivered, or removed."""
        for machine, folder in self._folders.items():
            outboxes = OrphanedOutboxes(
                api=cast("Any", self.api),
                leases=cast("Any", self.redis.seen_by(machine)),
                journals=Journals(folder, api=self.api.url),
                mask=Mask([]),
                pace=PATIENCE,
            )
            outboxes.sweep()

    def journals(self) -> list[Path]:
        """The journals that are left."""
        found = (folder.glob("outbox/job-*") for folder in self._folders.values())
        return [journal for journals in found for journal in journals]


class Worker:
    """One worker with the job.

    Attributes:
        fate: What became of the job, as RQ's books have it; None for nothing.
        dropped_as: How the job ended that it found over, if it did.
        is_dead: Whether it was killed.
    """

    def __init__(self, world: World, life: Life) -> None:
        self.fate: str | None = None
        self.dropped_as: str | None = None
        self.is_dead = False
        self._world = world
        self._life = life
        self._stop = JobStop(last_words_timeout=0.05)
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._run = f"{len(world.runs) + 1:032x}"
        conduct = Conduct(
            has_run=life.has_run,
            end=life.end,
            on_sigterm="stopped",
            closes_run=True,
            artifacts=OUTPUTS if life.has_run else (),
        )
        self._forkserver = Forkserver(conduct, self._at_moment, run=self._run)
        context = attempt_context(
            cast("Any", _Seen(world.api, self)),
            self._forkserver,
            cast("Any", _Seen(world.redis.seen_by(self), self)),
            world.folder(life.machine),
            times={"retry_pace": PATIENCE},
            status_poll=0.01 if life.end == "waits" else 1000.0,
            kill_grace=0.02,
        )
        self._health = context.health
        self._handler = Handler(
            rq=cast("Any", _Seen(self, self)),
            registries=cast("Any", _Seen(self, self)),
            context=context,
            heartbeat=cast("Any", _NoHeartbeat()),
            stops=cast("Any", SimpleNamespace()),
        )

    def handle(self) -> None:
        """Take the job from its queue to what becomes of it, or of us."""
        job = SimpleNamespace(
            func_name=FUNCTION,
            kwargs={"job_id": JOB, "experiment_id": EXPERIMENT},
            args=(),
            instance=None,
            timeout=None,
        )
        queue = SimpleNamespace(name="q")
        entry: Any = SimpleNamespace(
            job=job, queue=queue, id=str(JOB), worker_name=None
        )
        try:
            self._handler.handle(entry, self._stop)
        except Killed:
            assert self.is_dead
        except AssertionError:
            if not self.is_dead:
                raise
        finally:
            for runner in self._forkserver.runners:
                runner.signal(signal.SIGKILL)
                if runner.pipes.control.fileno() >= 0:  # it was killed before that
                    runner.pipes.close()

    # -- RQ's books ------------------------------------------------------------

    name = "me"
    connection = None

    @property
    def parking(self) -> Any:
        """Where jobs wait for the API."""
        return _Seen(_Parking(self._world, self._life), self)

    def has_waiting(self) -> bool:
        """Another job waits, always."""
        return True

    def start_job(self, entry: Any) -> Any:
        """The job runs."""
        return entry

    def end_job(self, entry: Any, outcome: Any) -> None:
        """What became of it."""
        del entry
        self.fate = outcome.fate
        if outcome.fate == "given back":
            self._world.queued += 1

    def park(self, entry: Any) -> None:
        """It lies where recovery finds it."""
        del entry
        self.fate = "parked"
        self._world.parked = True

    def drop_duplicate(self, entry: Any, status: str | None) -> None:
        """It is another's, or over."""
        del entry
        self.dropped_as = status

    def remove(self, name: str, queue: Any) -> None:
        """There is no record of it any more."""
        del name, queue
        self._world.is_removed = True

    def is_begun_elsewhere(self, entry: Any) -> bool:
        """Whoever has the job has begun it."""
        del entry
        return True

    def requeue(self, name: str, queue: Any) -> None:
        """It is in its queue again."""
        del name, queue
        self._world.queued += 1

    # -- what happens ----------------------------------------------------------

    def call(self, name: str, work: Callable[[], Any]) -> Any:
        """Make one operation on a service, or what comes of it instead."""
        if self.is_dead:
            raise Killed
        if name == self._life.broken:
            raise ServiceUnavailable("it fails", service="API", status=500)
        what = self._due(name)
        if what == "killed before":
            self._die()
        if what == "overtaken":
            self._lose_lease()
        done = work()
        if name.startswith("set_mlflow_run"):
            self._world.runs.append(self._run)
        if what == "killed after":
            self._die()
        if what == "no answer":
            raise ServiceUnavailable("lost", service="a service")
        if what not in {None, "overtaken"}:
            self._meet_with(what)
        return done

    def _at_moment(self, moment: str) -> None:
        self._world.on_moment.get(moment, lambda: None)()
        what = self._due(moment)
        if what is not None and what.startswith("killed"):
            self._die(quietly=True)
        else:
            self._meet_with(what)

    def _meet_with(self, what: What | None) -> None:
        match what:
            case "superseded" | "overtaken":
                self._lose_lease()
            case "shutdown":
                self._stop.request(SHUTDOWN)
            case "set finished" | "set failed" | "set reset":
                status = what.removeprefix("set ")
                self._world.api.set_status(EXPERIMENT, JOB, status)

    def _due(self, name: str) -> What | None:
        with self._lock:
            nth = self._seen[name]
            self._seen[name] += 1
        event = self._life.event
        here = event is not None and (event.where, event.nth) == (name, nth)
        return event.what if event is not None and here else None

    def _die(self, *, quietly: bool = False) -> None:
        self.is_dead = True
        if (self._world.folder(self._life.machine) / "outbox").exists():
            with contextlib.ExitStack() as disk:  # nothing is half copied
                for buffer in self._buffers():
                    disk.enter_context(buffer._disk)
                self._world.leave_behind(self._life.machine)
        if self._world.redis.owner is self:
            self._world.redis.owner = None
        self._stop.request(StopRequest("superseded", "it was killed", kill=True))
        if not quietly:
            raise Killed

    def _buffers(self) -> list[Any]:
        """What writes into the journal that is open."""
        journal = getattr(self._health._outbox, "_journal", None)
        return [] if journal is None else [*journal._buffers]

    def _lose_lease(self) -> None:
        """The lease is over, by our own clock first, and then in Redis."""
        if self._world.redis.owner is self:
            with self._world.under_way():
                with self._world.redis.lock:
                    self._stop.request(LEASE_LOST)
                    self._world.redis.owner = None
                self._world.others_have_it()


class _Seen:
    """A service as one worker sees it: each operation is one that something befalls."""

    def __init__(self, target: Any, worker: Worker) -> None:
        self._target = target
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def operation(*args: Any, **kwargs: Any) -> Any:
            full = f"{name} {args[-1]}" if name == "set_status" else name
            return self._worker.call(full, lambda: found(*args, **kwargs))

        return operation


@dataclass
class _Parking:
    world: World
    life: Life

    def look(self, job_id: int) -> Parked | None:
        """How long it has waited."""
        del job_id
        return Parked(job_id=JOB, age=LONG_AGO if self.life.waited else 0.0, left=0.0)

    def park(self, job_id: int, trouble: Trouble) -> Parked:
        """Have it wait."""
        del trouble
        return Parked(job_id=job_id, age=0.0, left=1.0)

    def forget(self, job_id: int) -> None:
        """It has ended."""


@dataclass
class _NoHeartbeat:
    """Leases are lost when they are told to be."""

    calls: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: self.calls.append(name)
