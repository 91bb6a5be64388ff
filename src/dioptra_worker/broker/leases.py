"""What workers tell each other in Redis: who runs a job, how often, how it ended.

A *lease* says which process runs a job; it runs out by itself when that process is
lost. The *attempts* count how often a job was started. A *pending* status is what the
API has yet to be told, so that another worker can when this one is gone.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from dioptra_worker.broker.batch_leases import ElementLeases
from dioptra_worker.broker.connection import translate_errors
from dioptra_worker.broker.odd_keys import OddKeys, tell
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
from dioptra_worker.common.stop import lease_clock
from dioptra_worker.common.text.strict_json import NotJson
from dioptra_worker.protocol.run_rules import RunStatus
from dioptra_worker.settings import LEASE_TTL

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from dioptra_worker.common.stop import JobStop


PREFIX = "dioptra-worker"
SAFE_SHARE = 0.9
"""Which part of a lease's life its holder counts on: what it has begun to write when
that is over still arrives before anybody else can have the job."""
ATTEMPTS_TTL = 30 * 24 * 3600
PENDING = f"{PREFIX}:pending"
OPEN_RUNS = f"{PREFIX}:open-runs"
FINAL_STATUSES = ("finished", "failed")
_RUN_ID = _TOKEN = re.compile(r"[0-9a-f]{32}")
_RUN_STATUSES = get_args(RunStatus)
MAX_LOOKS = 20
"""How often MLflow is asked for a run that was perhaps begun: for five minutes."""
UNKNOWN_RUNS = f"{PREFIX}:unknown-runs"

# Each of these is one step for Redis, so that no other worker can come in between.
#
# Who has a lease; what is no text was written by no worker. No lease of ours lasts for
# ever, so one that would gets an end.
_READ_LEASE = """
local held = false
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'string' then held = redis.call('GET', KEYS[1])
elseif kind ~= 'none' then held = '' end
local function bound(longest)
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > longest then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
end
if held then bound(math.huge) end
"""
# Take the lease if it is free, ours, or ARGV[3], which we may replace: not what was
# written since we looked. The answer is who else has it.
_TAKE = (
    _READ_LEASE
    + """
if held and held ~= ARGV[1] and held ~= ARGV[3] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
"""
)
_ACQUIRE = _TAKE + "return false"
# The same, and how the job ended, in one step: only its owner says that.
_END = (
    _TAKE
    + """
redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
return false
"""
)
_LOOK = _READ_LEASE + "return held"
# What no worker has written lasts as long as a lease at most.
_BOUND = (
    _READ_LEASE
    + """
if held == ARGV[1] then bound(tonumber(ARGV[2])) end
"""
)
# Only ours: it may have run out, and be another worker's by now. The run is settled in
# the same step, so that no sweep sees a job that nobody has with a run that is unknown.
_RELEASE = (
    _READ_LEASE
    + """
if ARGV[3] ~= '' then redis.call('HDEL', KEYS[2], ARGV[3]) end
if held == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
)
# A number that we have counted; what is none counts as nothing.
_READ_COUNT = """
local raw = redis.call('GET', KEYS[1])
local is_ours = raw and #raw < 10 and string.find(raw, '^[1-9]%d*$')
local count = is_ours and tonumber(raw) or 0
"""
# Counted once for each token, since a request whose answer is lost is sent again.
_COUNT = (
    _READ_COUNT
    + """
if count > 0 and redis.call('GET', KEYS[2]) == ARGV[1] then return {count, 0} end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
redis.call('SET', KEYS[1], count + 1, 'EX', ARGV[2])
return {count + 1, raw and not is_ours and 1 or 0}
"""
)
_UNCOUNT = (
    _READ_COUNT
    + """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return end
redis.call('DEL', KEYS[2])
if count > 1 then redis.call('SET', KEYS[1], count - 1, 'KEEPTTL')
else redis.call('DEL', KEYS[1]) end
"""
)
# No turn is longer than ours, and none lasts for ever.
_TURN = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
local left = redis.call('PTTL', KEYS[1])
if left < 0 or left > tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return left < 0 and -1 or 0
"""


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
        self._odd = OddKeys(connection)
        self.me = this_process(worker)
        self._mine = dump_record(self.me)
        self._acquire = connection.register_script(_ACQUIRE)
        self._end = connection.register_script(_END)
        self._look = connection.register_script(_LOOK)
        self._bound = connection.register_script(_BOUND)
        self._release = connection.register_script(_RELEASE)
        self._count = connection.register_script(_COUNT)
        self._uncount = connection.register_script(_UNCOUNT)
        self._turn = connection.register_script(_TURN)

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
            return self._take(job_id, stop, partial(self._acquire, [_lease(job_id)]))

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
            self._bound(keys=[_lease(job_id)], args=[held, self._px])
            tell(
                _lease(job_id),
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

    def release(self, job_id: int, *, settled: str = "") -> None:
        """Give the lease on a job back, if it is ours.

        Args:
            job_id: The job.
            settled: The token of a start whose MLflow run is known, or that has none.
        """
        with translate_errors():
            keys = [_lease(job_id), UNKNOWN_RUNS]
            self._odd.call(
                {UNKNOWN_RUNS: "hash"},
                lambda: self._release(keys=keys, args=[self._mine, self._px, settled]),
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
            held = self._look(keys=[_lease(job_id)], args=[b"", self._px])
            return None if held is None else self._holder(job_id, held)

    def is_held_elsewhere(self, job_id: int) -> bool:
        """Whether a worker of another machine, or container, runs a job."""
        holder = self.holder(job_id)
        return holder is not None and not holder.is_local

    def count_attempt(self, job_id: int, token: str) -> int:
        """Note that a job is started; which attempt this is, from 1.

        Args:
            job_id: The job.
            token: This start's own; said again with it, it is counted once. From now
                on it may have an MLflow run, of which nobody knows until it is settled.
        """
        keys = [_attempts(job_id), _counted(job_id)]
        run = json.dumps(asdict(UnknownRun(job_id=job_id)))
        with translate_errors():
            number, odd = self._odd.call(
                {**dict.fromkeys(keys, "string"), UNKNOWN_RUNS: "hash"},
                lambda: self._count(
                    keys=[*keys, UNKNOWN_RUNS], args=[token, ATTEMPTS_TTL, run]
                ),
            )
        if odd:
            tell(keys[0], f"attempts at job {job_id} are counted from 1 again")
        return int(number)

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
        keys = [_lease(pending.job_id), PENDING]

        def end(who: list[bytes | int]) -> bytes | None:
            args = [*who, str(pending.job_id), value]
            held: bytes | None = self._odd.call(
                {PENDING: "hash"}, lambda: self._end(keys=keys, args=args)
            )
            return held

        with translate_errors():
            return self._take(pending.job_id, stop, end)

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

    def record_open_run(self, run_id: str, status: str) -> None:
        """Note that an MLflow run is still to be closed with a status."""
        with translate_errors():
            self._odd.call(
                {OPEN_RUNS: "hash"}, lambda: self._redis.hset(OPEN_RUNS, run_id, status)
            )

    def forget_open_run(self, run_id: str) -> None:
        """Note that an MLflow run is closed."""
        with translate_errors():
            self._odd.call(
                {OPEN_RUNS: "hash"}, lambda: self._redis.hdel(OPEN_RUNS, run_id)
            )

    def open_runs(self) -> dict[str, str]:
        """The statuses that MLflow runs are to be closed with, by run."""
        with translate_errors():
            found = self._odd.call(
                {OPEN_RUNS: "hash"}, lambda: self._redis.hgetall(OPEN_RUNS)
            )
            runs = {}
            for field, value in found.items():
                [run, status] = (_ascii(it) for it in (field, value))
                if _RUN_ID.fullmatch(run) and status in _RUN_STATUSES:
                    runs[run] = status
                    continue
                self._redis.hdel(OPEN_RUNS, field)  # MLflow has none of that name
                tell(f"{OPEN_RUNS} {run[:100]!r}", "this field was removed")
        return runs

    def is_under_way(self, job_id: int, token: str) -> bool:
        """Whether the process that has begun a job with a token still has it."""
        key = _counted(job_id)
        with translate_errors():
            counted = self._odd.call({key: "string"}, lambda: self._redis.get(key))
        return counted == token.encode() and self.state(job_id) == "held"

    def unknown_runs(self) -> dict[str, UnknownRun]:
        """The MLflow runs that may be there and nobody knows, by the starts' tokens."""
        with translate_errors():
            found = self._odd.call(
                {UNKNOWN_RUNS: "hash"}, lambda: self._redis.hgetall(UNKNOWN_RUNS)
            )
            runs = {}
            for field, value in found.items():
                token, run = _ascii(field), _read_unknown_run(value)
                if _TOKEN.fullmatch(token) and run is not None:
                    runs[token] = run
                    continue
                self._redis.hdel(UNKNOWN_RUNS, field)  # no start has that token
                tell(f"{UNKNOWN_RUNS} {token[:100]!r}", "this field was removed")
        return runs

    def unknown_run(self, token: str) -> UnknownRun | None:
        """What is known of a start's run; None when it is settled what became of it."""
        with translate_errors():
            found = self._redis.hget(UNKNOWN_RUNS, token)
        return None if found is None else _read_unknown_run(found)

    def record_unknown_run(self, token: str, run: UnknownRun) -> None:
        """Note what is known of such a run; one for which was looked enough is left."""
        value = json.dumps(asdict(run))

        def record() -> None:
            if run.looks >= MAX_LOOKS:
                self._redis.hdel(UNKNOWN_RUNS, token)
            else:
                self._redis.hset(UNKNOWN_RUNS, token, value)

        with translate_errors():
            self._odd.call({UNKNOWN_RUNS: "hash"}, record)

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


def _lease(job_id: int) -> str:
    return f"{PREFIX}:lease:{job_id}"


def _attempts(job_id: int) -> str:
    return f"{PREFIX}:attempts:{job_id}"


def _counted(job_id: int) -> str:
    return f"{PREFIX}:attempts:{job_id}:counted"


def _read_unknown_run(text: bytes | str) -> UnknownRun | None:
    try:
        run = read_record(UnknownRun, text)
    except NotJson:
        return None
    is_ours = run.status in _RUN_STATUSES and 0 <= run.looks < MAX_LOOKS
    return run if is_ours and run.job_id > 0 else None


def _ascii(data: Any) -> str:
    return str(data, "ascii", "replace")
