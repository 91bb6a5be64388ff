"""Jobs that are parked, since the REST API fails at them and at nothing else.

Such a job is taken out of its worker's way: it lies where recovery finds it, which puts
it back into its queue when its time has come. The pauses grow with each try. Why it is
parked, and until when, is written beside it for people.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.broker.connection import translate_errors
from dioptra_worker.broker.odd_keys import OddKeys, tell
from dioptra_worker.protocol.job_number import job_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from redis.commands.core import Script

KEY = "dioptra-worker:parked"
PAUSES = (10, 20, 40, 80, 160, 320, 600)
"""Seconds before each try; the last is that before any later one, too."""
LONGEST_PAUSE = PAUSES[-1]
MAX_TEXT = 1000
"""Bytes of a text that is written beside a parked job."""

# The time is Redis's, since clocks of machines differ. What is no entry of ours counts
# as none: a script that fails would hold the job for as long as it is there, and so
# would a time that never comes.
_READ = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
local longest = tonumber(ARGV[2])
local function is_between(value, first, last)
  return type(value) == 'number' and value >= first and value <= last
end
local function read(raw)
  local is_json, entry = pcall(cjson.decode, raw or '')
  local is_ours = is_json and type(entry) == 'table'
    and is_between(entry.since, 0, now + longest)
    and is_between(entry.until_, 0, now + 2 * longest)
    and is_between(entry.tries, 1, 1000000)
  return is_ours and entry or nil
end
local function text(value)
  return type(value) == 'string' and string.sub(value, 1, tonumber(ARGV[3])) or ''
end
local function answer(job, raw)
  local entry = read(raw)
  if not entry then return {job} end
  local gives_up = ''
  if is_between(entry.gives_up, 1, 1e12) then gives_up = entry.gives_up - now end
  return {
    job, tostring(entry.since - now), tostring(entry.until_ - now),
    tostring(gives_up), tostring(entry.tries),
    text(entry.why), text(entry.queue), text(entry.worker),
  }
end
"""
_PARK = (
    _READ
    + """
local last = read(redis.call('HGET', KEYS[1], ARGV[1])) or {since = now, tries = 0}
local pauses = cjson.decode(ARGV[4])
local until_ = now + pauses[math.min(#pauses, math.floor(last.tries) + 1)]
local gives_up = ARGV[8] ~= '' and last.since + tonumber(ARGV[8]) or 0
if gives_up > now then until_ = math.min(until_, gives_up) end
local raw = cjson.encode({
  since = last.since,
  until_ = until_,
  tries = last.tries + 1,
  gives_up = gives_up,
  why = ARGV[5],
  queue = ARGV[6],
  worker = ARGV[7],
})
redis.call('HSET', KEYS[1], ARGV[1], raw)
return {answer(ARGV[1], raw)}
"""
)
_LOOK = (
    _READ
    + """
local raw = redis.call('HGET', KEYS[1], ARGV[1])
return raw and {answer(ARGV[1], raw)} or {}
"""
)
_LIST = (
    _READ
    + """
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do table.insert(found, answer(all[i], all[i + 1])) end
return found
"""
)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why a job is parked.

    Attributes:
        why: At what the API fails, and how; without secrets.
        queue: The job's queue.
        worker: Who parks it.
        patience: Seconds after its first try after which its results are given up;
            None if it has none yet, and is tried for ever.
    """

    why: str
    queue: str
    worker: str
    patience: float | None = None


@dataclass(frozen=True, kw_only=True)
class Parked:
    """A job that is parked.

    Attributes:
        job_id: The job.
        age: Seconds since it was parked for the first time.
        left: Seconds until it is tried again; below nought when it is time.
        given_up_in: Seconds until its results are given up, likewise; None when they
            never are.
        tries: How often it was parked.
        why: At what the API fails, and how; empty where nobody has said.
        queue: Its queue, likewise.
        worker: Who has parked it, likewise.
    """

    job_id: int
    age: float
    left: float
    given_up_in: float | None = None
    tries: int = 1
    why: str = ""
    queue: str = ""
    worker: str = ""

    def dump(self, now: dt.datetime) -> dict[str, Any]:
        """The same in JSON's types, with times.

        Args:
            now: The time on this machine, by which they are told.
        """

        def moment(seconds: float | None) -> str | None:
            if seconds is None:
                return None
            try:
                at = now + dt.timedelta(seconds=seconds)
            except OverflowError:
                return None
            return at.isoformat("T", "milliseconds")

        return {
            "since": moment(-self.age),
            "next_try": moment(self.left),
            "given_up": moment(self.given_up_in),
            "tries": self.tries,
            "why": self.why,
            "queue": self.queue,
            "worker": self.worker,
        }


def pause(tries: int) -> int:
    """Seconds that a job is parked for which was parked so often before."""
    return PAUSES[min(tries, len(PAUSES) - 1)]


class Parking:
    """Which jobs are parked, for all workers of a Redis.

    Every method raises `ServiceUnavailable` when Redis is away.
    """

    def __init__(self, connection: redis.Redis) -> None:
        """Prepare.

        Args:
            connection: To Redis.
        """
        self._redis = connection
        self._odd = OddKeys(connection)
        self._park = connection.register_script(_PARK)
        self._look = connection.register_script(_LOOK)
        self._list = connection.register_script(_LIST)

    def park(self, job_id: int, trouble: Trouble) -> Parked:
        """Have a job wait, and say until when.

        Args:
            job_id: The job.
            trouble: Why.
        """
        patience = "" if trouble.patience is None else trouble.patience
        texts = (trouble.why, trouble.queue, trouble.worker)
        said = [text.encode("utf-8", "replace")[:MAX_TEXT] for text in texts]
        [parked] = self._call(self._park, job_id, json.dumps(PAUSES), *said, patience)
        return parked

    def look(self, job_id: int) -> Parked | None:
        """What is known of a job, if it is parked."""
        return next(self._call(self._look, job_id), None)

    def all(self) -> list[Parked]:
        """Every job that is parked, the oldest trouble first."""
        return sorted(self._call(self._list, ""), key=lambda found: -found.age)

    def forget(self, job_id: int) -> None:
        """Note that a job is not parked any more: it has begun, or ended."""
        with translate_errors():
            self._odd.call({KEY: "hash"}, lambda: self._redis.hdel(KEY, str(job_id)))

    def _call(
        self, script: Script, job_id: int | str, *more: float | str | bytes
    ) -> Iterator[Parked]:
        args = [job_id, LONGEST_PAUSE, MAX_TEXT, *more]
        with translate_errors():
            found = self._odd.call({KEY: "hash"}, lambda: script(keys=[KEY], args=args))
        for field, *entry in found:
            name = field.decode("utf-8", "replace")
            number = job_number(name)
            if entry and number is not None:
                yield _parked(number, [it.decode("utf-8", "replace") for it in entry])
            else:
                tell(f"{KEY} {name[:100]}", "its field for this job counts as empty")


def _parked(job_id: int, entry: list[str]) -> Parked:
    since, until, gives_up, tries, why, queue, worker = entry
    return Parked(
        job_id=job_id,
        age=-float(since),
        left=float(until),
        given_up_in=float(gives_up) if gives_up else None,
        tries=int(float(tries)),
        why=why,
        queue=queue,
        worker=worker,
    )
