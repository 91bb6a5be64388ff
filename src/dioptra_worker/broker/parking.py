"""Jobs that wait, since the REST API fails at them and at nothing else.

Such a job is taken out of its worker's way: it lies where recovery finds it, which puts
it back into its queue when its time has come. The pauses grow with each try.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.broker.connection import translate_errors

if TYPE_CHECKING:
    import redis

KEY = "dioptra-worker:parked"
FIRST_PAUSE = 10
LONGEST_PAUSE = 600
"""Seconds before the first and before any later try, at most."""

# The time is Redis's, since clocks of machines differ. What is no entry of ours counts
# as none: a script that fails would hold the job for as long as it is there.
_NOW = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
local read, entry = pcall(cjson.decode, redis.call('HGET', KEYS[1], ARGV[1]) or '')
local is_ours = read and type(entry) == 'table' and tonumber(entry.since)
if not (is_ours and tonumber(entry.tries) and tonumber(entry.until_)) then
  entry = nil
end
"""
_PARK = (
    _NOW
    + """
entry = entry or {since = now, tries = 0}
local pause = math.min(tonumber(ARGV[3]), tonumber(ARGV[2]) * 2 ^ entry.tries)
entry.tries = entry.tries + 1
entry.until_ = now + pause
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
return tostring(pause)
"""
)
_LOOK = (
    _NOW
    + """
if not entry then return false end
return {tostring(now - entry.since), tostring(entry.until_ - now)}
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
        self._park = connection.register_script(_PARK)
        self._look = connection.register_script(_LOOK)

    def park(self, job_id: int) -> float:
        """Have a job wait; the seconds until it is tried again.

        Args:
            job_id: The job.
        """
        with translate_errors():
            args: list[int] = [job_id, FIRST_PAUSE, LONGEST_PAUSE]
            return float(self._park(keys=[KEY], args=args))

    def look(self, job_id: int) -> Parked | None:
        """How long a job has waited and has to, if it does."""
        with translate_errors():
            found = self._look(keys=[KEY], args=[job_id])
        return None if not found else Parked(float(found[0]), float(found[1]))

    def forget(self, job_id: int) -> None:
        """Note that a job has ended."""
        with translate_errors():
            self._redis.hdel(KEY, str(job_id))
