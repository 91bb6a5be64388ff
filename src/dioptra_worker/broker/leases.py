"""What workers tell each other in Redis: who runs a job, how often, how it ended.

A *lease* says which process runs a job; it runs out by itself when that process is
lost. The *attempts* count how often a job was started. A *pending* status is what the
API has yet to be told, so that another worker can when this one is gone.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from dioptra_worker.broker import lease_scripts
from dioptra_worker.broker.batch_leases import ElementLeases
from dioptra_worker.broker.connection import translate_errors
from dioptra_worker.broker.lease_scripts import PREFIX, lease_key
from dioptra_worker.broker.odd_keys import OddKeys, tell
from dioptra_worker.broker.parking import KEY as PARKED
from dioptra_worker.broker.records import (
    UNKNOWN,
    LeaseHolder,
    PendingStatus,
    UnknownRun,
    dump_record,
    read_holder,
    read_record,
    this_process,
)
from dioptra_worker.broker.runs_to_close import UNKNOWN_RUNS, RunsToClose, dump_run
from dioptra_worker.common.stop import lease_clock
from dioptra_worker.common.text.strict_json import NotJson
from dioptra_worker.settings import LEASE_TTL

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from dioptra_worker.broker.odd_keys import KeyType
    from dioptra_worker.common.stop import JobStop


SAFE_SHARE = 0.9
"""Which part of a lease's life its holder counts on: what it has begun to write when
that is over still arrives before anybody else can have the job."""
ATTEMPTS_TTL = 30 * 24 * 3600
PENDING = f"{PREFIX}:pending"
_COUNT = re.compile(rb"[1-9]\d{0,8}")
FINAL_STATUSES = ("finished", "failed")


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What comes of the wish to begin a job.

    Attributes:
        holder: Who has the job, if that is not us.
        attempt: Which start of the job this is, from 1; 0 if it is none.
        is_noted: Whether an end of the job is noted, or that it is parked.
    """

    holder: LeaseHolder | None = None
    attempt: int = 0
    is_noted: bool = False


class Leases:
    """What one worker tells the others, and hears of them.

    Every method raises `ServiceUnavailable` when Redis is away.

    Attributes:
        me: This worker's process.
        runs: The MLflow runs that are still to be closed.
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
        self._odd = OddKeys(connection)
        self.me = this_process(worker)
        self._mine = dump_record(self.me)
        self.runs = RunsToClose(connection, self._mine)
        self._acquire = connection.register_script(lease_scripts.ACQUIRE)
        self._end = connection.register_script(lease_scripts.END)
        self._look = connection.register_script(lease_scripts.LOOK)
        self._bound = connection.register_script(lease_scripts.BOUND)
        self._release = connection.register_script(lease_scripts.RELEASE)
        self._begin = connection.register_script(lease_scripts.BEGIN)
        self._uncount = connection.register_script(lease_scripts.UNCOUNT)
        self._turn = connection.register_script(lease_scripts.TURN)

    def element_leases(self, worker_run: str) -> ElementLeases:
        """The record of which elements of a batch are done."""
        return ElementLeases(self._redis, worker_run)

    def acquire(self, job_id: int, stop: JobStop | None = None) -> LeaseHolder | None:
        """Take or renew the lease on a job.

        What no worker has written in its place counts as a lease of somebody unknown,
        for as long as one lasts. But while the job is ours by our own clock, nobody
        else can have it, and it is overwritten.

        Args:
            job_id: The job.
            stop: Is told until when the job is ours, and knows whether it is.

        Returns:
            None when the lease is ours now, else who has it.
        """
        with translate_errors():
            return self._take(job_id, stop, partial(self._acquire, [lease_key(job_id)]))

    def begin(self, job_id: int, token: str, stop: JobStop | None = None) -> Beginning:
        """Take the lease on a job and count the start, in one step.

        Args:
            job_id: The job.
            token: This start's own; said again with it, it is counted once. From now
                on it may have an MLflow run, of which nobody knows until it is settled.
            stop: Is told until when the job is ours.
        """
        field = str(job_id)
        counts = [_attempts(job_id), _counted(job_id)]
        hashes = [UNKNOWN_RUNS, PENDING, PARKED]
        run = dump_run(UnknownRun(job_id=job_id))
        types: dict[str, KeyType] = dict.fromkeys(counts, "string")
        types |= dict.fromkeys(hashes, "hash")
        answer: list[int] = []

        def take(who: list[bytes | int]) -> bytes | None:
            found: bytes | list[int] = self._odd.call(
                types,
                lambda: self._begin(
                    keys=[lease_key(job_id), *counts, *hashes],
                    args=[*who, field, token, ATTEMPTS_TTL, run],
                ),
            )
            if isinstance(found, bytes):
                return found
            answer[:] = found
            return None

        with translate_errors():
            holder = self._take(job_id, stop, take)
        if holder is not None:
            return Beginning(holder=holder)
        attempt, odd, is_noted = answer
        if odd:
            tell(counts[0], f"attempts at job {job_id} are counted from 1 again")
        return Beginning(attempt=attempt, is_noted=bool(is_noted))

    def _take(
        self,
        job_id: int,
        stop: JobStop | None,
        script: Callable[[list[bytes | int]], bytes | None],
    ) -> LeaseHolder | None:
        replaceable = self._mine
        for _ in range(2):  # the second time from who has it no longer
            asked = lease_clock()  # before Redis was: its own time begins later
            held = script([self._mine, self._px, replaceable])
            if held is None:
                self._note_owned(stop, asked)
                return None
            holder = self._holder(job_id, held)
            ours = holder == UNKNOWN and stop is not None and stop.owns_lease
            if not (ours or holder.is_dead()):
                return holder
            replaceable = held
        return holder

    def _holder(self, job_id: int, held: bytes) -> LeaseHolder:
        """Who has a lease; one that no worker has written is told, and bounded."""
        holder = read_holder(held)
        if holder == UNKNOWN:
            self._bound(keys=[lease_key(job_id)], args=[held, self._px])
            tell(
                lease_key(job_id),
                f"a worker may run job {job_id}, so nobody else begins it for up to"
                f" {self._ttl:.0f} s; if none does, delete the key to have it run now",
            )
        return holder

    def _note_owned(self, stop: JobStop | None, asked: float) -> None:
        if stop is not None:
            stop.own_until(asked + self._ttl * SAFE_SHARE)

    @property
    def _px(self) -> int:
        return int(self._ttl * 1000)

    def release(
        self,
        job_id: int,
        token: str = "",
        *,
        is_settled: bool = True,
        is_over: bool = False,
    ) -> None:
        """Give the lease on a job back, if it is ours.

        Args:
            job_id: The job.
            token: The token of our start of the job; empty if there was none.
            is_settled: Whether the MLflow run of that start is known, or it has none;
                else it may have left one open.
            is_over: Whether the job has ended, and the API knows: what workers have
                told each other of it is forgotten, unless another has it.
        """
        counts = [_attempts(job_id), _counted(job_id)]
        hashes = [PENDING, PARKED]
        over = job_id if is_over else ""
        run = dump_run(UnknownRun(job_id=job_id))
        with translate_errors():
            self._odd.call(
                dict.fromkeys([UNKNOWN_RUNS, *hashes], "hash"),
                lambda: self._release(
                    keys=[lease_key(job_id), UNKNOWN_RUNS, *counts, *hashes],
                    args=[self._mine, self._px, token, int(is_settled), over, run],
                ),
            )

    def state(self, job_id: int) -> Literal["held", "dead", "free"]:
        """Whether somebody runs a job, its holder is known to be dead, or neither."""
        holder = self.holder(job_id)
        if holder is None:
            return "free"
        return "dead" if holder.is_dead() else "held"

    def holder(self, job_id: int) -> LeaseHolder | None:
        """Who has the lease on a job."""
        with translate_errors():
            held = self._look(keys=[lease_key(job_id)], args=[b"", self._px])
            return None if held is None else self._holder(job_id, held)

    def is_held_elsewhere(self, job_id: int) -> bool:
        """Whether a worker of another machine, or container, runs a job."""
        holder = self.holder(job_id)
        return holder is not None and not holder.is_local

    def uncount_attempt(self, job_id: int, token: str) -> None:
        """Note that a job was given back in good order.

        Args:
            job_id: The job.
            token: That of its start; when another has begun since, nothing changes.
        """
        keys = [_attempts(job_id), _counted(job_id)]
        with translate_errors():
            self._odd.call(
                dict.fromkeys(keys, "string"),
                lambda: self._uncount(keys=keys, args=[token]),
            )

    def forget_attempts(self, job_id: int) -> None:
        """Note that a job has ended."""
        with translate_errors():
            self._redis.delete(_attempts(job_id), _counted(job_id))

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
        keys = [lease_key(pending.job_id), PENDING, _ended(pending.job_id)]
        attempt = str(pending.attempt) if pending.attempt > 1 else ""

        def end(who: list[bytes | int]) -> bytes | None:
            args = [*who, str(pending.job_id), value, attempt, ATTEMPTS_TTL]
            held: bytes | None = self._odd.call(
                {PENDING: "hash"}, lambda: self._end(keys=keys, args=args)
            )
            return held

        with translate_errors():
            return self._take(pending.job_id, stop, end)

    def ended_attempt(self, job_id: int) -> int | None:
        """Which attempt a job has ended in; None for its first, or if nobody knows."""
        key = _ended(job_id)
        with translate_errors():
            found = self._odd.call({key: "string"}, lambda: self._redis.get(key))
        if isinstance(found, bytes) and _COUNT.fullmatch(found):
            return int(found)
        return None

    def clear_pending_status(self, job_id: int) -> None:
        """Note that the API was told."""
        with translate_errors():
            self._odd.call(
                {PENDING: "hash"}, lambda: self._redis.hdel(PENDING, str(job_id))
            )

    def pending_status(self, job_id: int) -> PendingStatus | None:
        """What the API has yet to be told of a job, by whichever worker."""
        with translate_errors():
            found = self._odd.call(
                {PENDING: "hash"}, lambda: self._redis.hget(PENDING, str(job_id))
            )
        if found is None:
            return None
        try:
            pending = read_record(PendingStatus, found)
            if pending.job_id == job_id and pending.status in FINAL_STATUSES:
                return pending
        except NotJson:
            pass
        tell(f"{PENDING} {job_id}", "its field for this job counts as empty")
        return None

    def is_under_way(self, job_id: int, token: str) -> bool:
        """Whether the process that has begun a job with a token still has it."""
        key = _counted(job_id)
        with translate_errors():
            counted = self._odd.call({key: "string"}, lambda: self._redis.get(key))
        return counted == token.encode() and self.state(job_id) == "held"

    def try_become_sweeper(self, what: str, seconds: float) -> bool:
        """Whether it is our turn to do something that one worker does for all.

        Args:
            what: What it is.
            seconds: How long nobody else gets a turn.
        """
        key = f"{PREFIX}:turn:{what}"
        with translate_errors():
            turn = self._turn(keys=[key], args=[self._mine, int(seconds * 1000)])
        if turn < 0:
            tell(key, f"it counts as a turn that is over in {seconds:.0f} s")
        return bool(turn == 1)


def _attempts(job_id: int) -> str:
    return f"{PREFIX}:attempts:{job_id}"


def _counted(job_id: int) -> str:
    return f"{PREFIX}:attempts:{job_id}:counted"


def _ended(job_id: int) -> str:
    return f"{PREFIX}:attempts:{job_id}:ended"
