"""Jobs that wait, since the REST API fails at them and at nothing else.

Such a job is taken out of its worker's way: it lies where recovery finds it, which puts
it back into its queue when its time has come. The pauses grow with each try.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.broker.connection import translate_errors
from dioptra_worker.broker.odd_keys import OddKeys, tell

if TYPE_CHECKING:
    import redis
    from redis.commands.core import Script

KEY = "dioptra-worker:parked"
FIRST_PAUSE = 10
LONGEST_PAUSE = 600
"""Seconds before the first and before any later try, at most."""

# The time is Redis's, since clocks of machines differ. What is no entry of ours counts
# as none: a script that fails would hold the job for as long as it is there, and so
# would a time that never comes.
_NOW = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local read, entry = pcall(cjson.decode, raw or '')
local function is_between(value, first, last)
  return type(value) == 'number' and value >= first and value <= last
end
local longest = tonumber(ARGV[3])
local is_ours = read and type(entry) == 'table'
  and is_between(entry.since, 0, now + longest)
  and is_between(entry.until_, 0, now + 2 * longest)
  and is_between(entry.tries, 1, 1000000)
if not is_ours then entry = nil end
local is_odd = raw and not is_ours and 1 or 0
"""
_PARK = (
    _NOW
    + """
entry = entry or {since = now, tries = 0}
local pause = math.min(longest, tonumber(ARGV[2]) * 2 ^ entry.tries)
entry.tries = entry.tries + 1
entry.until_ = now + pause
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
return {is_odd, tostring(pause)}
"""
)
_LOOK = (
    _NOW
    + """
if not entry then return {is_odd} end
return {is_odd, tostring(now - entry.since), tostring(entry.until_ - now)}
"""
)


@dataclass(frozen=True)
class Parked:
    """A job that waits.

    Attributes:
        age: Seconds since it was parked for the first time.
        left: Seconds until it is tried again; below nought when it is time.
    """

    age: float
    left: float


class Parking:
    """Which jobs wait, for all workers of a Redis.

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

    def park(self, job_id: int) -> float:
        """Have a job wait; the seconds until it is tried again.

        Args:
            job_id: The job.
        """
        [pause] = self._call(self._park, job_id)
        return pause

    def look(self, job_id: int) -> Parked | None:
        """How long a job has waited and has to, if it does."""
        found = self._call(self._look, job_id)
        return Parked(*found) if found else None

    def forget(self, job_id: int) -> None:
        """Note that a job has ended."""
        with translate_errors():
            self._odd.call({KEY: "hash"}, lambda: self._redis.hdel(KEY, str(job_id)))

    def _call(self, script: Script, job_id: int) -> list[float]:
        args: list[int] = [job_id, FIRST_PAUSE, LONGEST_PAUSE]
        with translate_errors():
            is_odd, *found = self._odd.call(
                {KEY: "hash"}, lambda: script(keys=[KEY], args=args)
            )
        if is_odd:
            tell(f"{KEY} {job_id}", f"its field for job {job_id} counts as empty")
        return [float(each) for each in found]
