"""What workers tell each other in Redis: who runs a job, how often, how it ended.

A *lease* says which process runs a job; it runs out by itself when that process is
lost. The *attempts* count how often a job was started. A *pending* status is what the
API has yet to be told, so that another worker can when this one is gone.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Literal, TypeVar

from dioptra_worker.broker.batch_leases import ElementLeases
from dioptra_worker.broker.connection import texts, translate_errors
from dioptra_worker.common.processes.process_identity import (
    ProcessId,
    boot_id,
    identify,
    pid_namespace,
)
from dioptra_worker.common.stop import lease_clock
from dioptra_worker.common.text.strict_json import NotJson, loads
from dioptra_worker.settings import LEASE_TTL

if TYPE_CHECKING:
    import redis

    from dioptra_worker.common.stop import JobStop

T = TypeVar("T", "LeaseHolder", "PendingStatus")

PREFIX = "dioptra-worker"
SAFE_SHARE = 0.9
"""Which part of a lease's life its holder counts on: what it has begun to write when
that is over still arrives before anybody else can have the job."""
ATTEMPTS_TTL = 30 * 24 * 3600

# Each of these is one step for Redis, so that no other worker can come in between.
#
# Take the lease if it is free, ours, or that of the holder in ARGV[3], found dead: not
# that of whoever took it since we looked. The answer is who else has it.
_ACQUIRE = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] and held ~= ARGV[3] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
"""
# The same, and how the job ended, in one step: only its owner says that.
_END = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return false
"""
# Only ours: it may have run out, and be another worker's by now.
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
# Counted once for each token, since a request whose answer is lost is sent again.
_COUNT = """
local count = redis.call('GET', KEYS[1])
if count and redis.call('GET', KEYS[2]) == ARGV[1] then return tonumber(count) end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
count = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return count
"""
# Not below one: DECR would make a key that has expired anew, at -1 and kept for ever.
_UNCOUNT = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return end
redis.call('DEL', KEYS[2])
if tonumber(redis.call('GET', KEYS[1]) or '0') > 1 then redis.call('DECR', KEYS[1])
else redis.call('DEL', KEYS[1]) end
"""


@dataclass(frozen=True)
class LeaseHolder:
    """A process that runs jobs.

    Attributes:
        worker: The worker's name.
        host: Its machine.
        pid: Its process id there.
        birth: When that process began, as the system tells it.
        namespace: Where its process id counts; two containers of one machine differ.
        boot: Which start of which machine; a host's name may be another's, too.
    """

    worker: str
    host: str
    pid: int
    birth: str
    namespace: str = ""
    boot: str = ""

    @property
    def is_local(self) -> bool:
        """Whether its process is among those that we can see."""
        here = (boot_id(), pid_namespace())
        return self.boot != "" and (self.boot, self.namespace) == here

    def is_dead(self) -> bool:
        """Whether it ran beside us and runs no more; False when unknown."""
        return self.is_local and not ProcessId(self.pid, self.birth).is_alive()


def this_process(worker: str) -> LeaseHolder:
    """Us, as the holder of a lease."""
    process = identify(os.getpid())
    assert process is not None
    return LeaseHolder(
        worker=worker,
        host=socket.gethostname(),
        pid=process.pid,
        birth=process.start_time,
        namespace=pid_namespace(),
        boot=boot_id(),
    )


@dataclass(frozen=True)
class PendingStatus:
    """A final status that the API has yet to be told.

    Attributes:
        job_id: The job.
        experiment_id: Its experiment.
        status: ``finished`` or ``failed``.
        reason: Why, for the job's log.
    """

    job_id: int
    experiment_id: int
    status: str
    reason: str


class Leases:
    """What one worker tells the others, and hears of them.

    Every method raises `ServiceUnavailable` when Redis is away.
    """

    def __init__(
        self, connection: redis.Redis, *, worker: str, ttl: float = LEASE_TTL
    ) -> None:
        """Prepare.

        Args:
            connection: To Redis.
            worker: This worker's name.
            ttl: Seconds after which a lease runs out.
        """
        self._ttl = ttl
        self._redis = connection
        self.me = this_process(worker)
        self._mine = dump_record(self.me)
        self._acquire = connection.register_script(_ACQUIRE)
        self._end = connection.register_script(_END)
        self._release = connection.register_script(_RELEASE)
        self._count = connection.register_script(_COUNT)
        self._uncount = connection.register_script(_UNCOUNT)

    def element_leases(self, worker_run: str) -> ElementLeases:
        """The record of which elements of a batch are done."""
        return ElementLeases(self._redis, worker_run)

    # -- leases ----------------------------------------------------------------

    def acquire(self, job_id: int, stop: JobStop | None = None) -> LeaseHolder | None:
        """Take or renew the lease on a job.

        Args:
            job_id: The job.
            stop: Is told until when the job is ours.

        Returns:
            None when the lease is ours now, else who has it.
        """
        with translate_errors():
            stale = b""
            for _ in range(2):  # the second time from a holder who is dead
                asked = lease_clock()  # before Redis was: its own time begins later
                held = self._acquire(
                    keys=[_lease(job_id)], args=[self._mine, self._px, stale]
                )
                if not held:
                    self._note_owned(stop, asked)
                    return None
                holder = read_holder(held)
                if not holder.is_dead():
                    return holder
                stale = held
        return holder

    def _note_owned(self, stop: JobStop | None, asked: float) -> None:
        if stop is not None:
            stop.own_until(asked + self._ttl * SAFE_SHARE)

    @property
    def _px(self) -> int:
        return int(self._ttl * 1000)

    def release(self, job_id: int) -> None:
        """Give the lease on a job back, if it is ours."""
        with translate_errors():
            self._release(keys=[_lease(job_id)], args=[self._mine])

    def state(self, job_id: int) -> Literal["held", "dead", "free"]:
        """Whether somebody runs a job, its holder is known to be dead, or neither."""
        holder = self.holder(job_id)
        if holder is None:
            return "free"
        return "dead" if holder.is_dead() else "held"

    def holder(self, job_id: int) -> LeaseHolder | None:
        """Who has the lease on a job."""
        with translate_errors():
            held = self._redis.get(_lease(job_id))
        return read_holder(held) if held else None

    def is_held_elsewhere(self, job_id: int) -> bool:
        """Whether a worker of another machine, or container, runs a job."""
        holder = self.holder(job_id)
        return holder is not None and not holder.is_local

    # -- attempts --------------------------------------------------------------

    def count_attempt(self, job_id: int, token: str) -> int:
        """Note that a job is started; which attempt this is, from 1.

        Args:
            job_id: The job.
            token: This start's own; said again with it, it is counted once.
        """
        with translate_errors():
            keys = [_attempts(job_id), _counted(job_id)]
            return int(self._count(keys=keys, args=[token, ATTEMPTS_TTL]))

    def uncount_attempt(self, job_id: int, token: str) -> None:
        """Note that a job was given back in good order.

        Args:
            job_id: The job.
            token: That of its start; when another has begun since, nothing changes.
        """
        with translate_errors():
            keys = [_attempts(job_id), _counted(job_id)]
            self._uncount(keys=keys, args=[token])

    def forget_attempts(self, job_id: int) -> None:
        """Note that a job has ended."""
        with translate_errors():
            self._redis.delete(_attempts(job_id), _counted(job_id))

    # -- pending status --------------------------------------------------------

    def record_pending_status(
        self, pending: PendingStatus, stop: JobStop | None = None
    ) -> LeaseHolder | None:
        """Write down a status before the API is told, and renew the lease on the job.

        Args:
            pending: The status.
            stop: Is told until when the job is ours.

        Returns:
            None when it is written; who has the job if that is not us.
        """
        value = json.dumps(asdict(pending))
        asked = lease_clock()
        with translate_errors():
            held = self._end(
                keys=[_lease(pending.job_id), f"{PREFIX}:pending"],
                args=[self._mine, self._px, str(pending.job_id), value],
            )
        if held:
            return read_holder(held)
        self._note_owned(stop, asked)
        return None

    def clear_pending_status(self, job_id: int) -> None:
        """Note that the API was told."""
        with translate_errors():
            self._redis.hdel(f"{PREFIX}:pending", str(job_id))

    def pending_status(self, job_id: int) -> PendingStatus | None:
        """What the API has yet to be told of a job, by whichever worker."""
        with translate_errors():
            found = self._redis.hget(f"{PREFIX}:pending", str(job_id))
        try:
            return read_record(PendingStatus, found) if found else None
        except NotJson:  # written by no worker
            return None

    # -- open MLflow runs ------------------------------------------------------

    def record_open_run(self, run_id: str, status: str) -> None:
        """Note that an MLflow run is still to be closed with a status."""
        with translate_errors():
            self._redis.hset(f"{PREFIX}:open-runs", run_id, status)

    def forget_open_run(self, run_id: str) -> None:
        """Note that an MLflow run is closed."""
        with translate_errors():
            self._redis.hdel(f"{PREFIX}:open-runs", run_id)

    def open_runs(self) -> dict[str, str]:
        """The statuses that MLflow runs are to be closed with, by run."""
        with translate_errors():
            found = self._redis.hgetall(f"{PREFIX}:open-runs")
        return {
            run: status
            for pair in found.items()
            for run, status in zip(texts(pair[:1]), texts(pair[1:]), strict=False)
        }

    # -- sweeping -------------------------------------------------------------

    def try_become_sweeper(self, what: str, seconds: float) -> bool:
        """Whether it is our turn to do something that one worker does for all.

        Args:
            what: What it is.
            seconds: How long nobody else gets a turn.
        """
        with translate_errors():
            return bool(
                self._redis.set(
                    f"{PREFIX}:turn:{what}", self._mine, nx=True, px=int(seconds * 1000)
                )
            )


def _lease(job_id: int) -> str:
    return f"{PREFIX}:lease:{job_id}"


def _attempts(job_id: int) -> str:
    return f"{PREFIX}:attempts:{job_id}"


def _counted(job_id: int) -> str:
    return f"{PREFIX}:attempts:{job_id}:counted"


def dump_record(holder: LeaseHolder) -> bytes:
    """What other workers read with `read_record`."""
    return json.dumps(asdict(holder), sort_keys=True).encode()


def read_record(kind: type[T], text: bytes | str) -> T:
    """What a worker wrote; one of a later version may have more to say than we know.

    Raises:
        NotJson: No worker wrote this.
    """
    said = loads(text.encode() if isinstance(text, str) else text)
    types = {field.name: str(field.type) for field in fields(kind)}
    if not isinstance(said, dict):
        raise NotJson("it is no JSON object")
    known = {name: value for name, value in said.items() if name in types}
    for name, value in known.items():
        if type(value).__name__ != types[name]:
            raise NotJson(f"{name!r} is no {types[name]}")
    try:
        return kind(**known)
    except TypeError as error:  # something is missing
        raise NotJson(str(error)) from None


def read_holder(held: bytes | str) -> LeaseHolder:
    """Who has a lease; when that cannot be read, somebody of whom nothing is known."""
    try:
        return read_record(LeaseHolder, held)
    except NotJson:
        return LeaseHolder(worker="an unknown worker", host="", pid=0, birth="")
