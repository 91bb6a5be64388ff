"""Who of a queue's idle workers watches it, so that one job does not wake them all.

Whoever looks at a list and takes nothing from it leaves it to be looked at, and Redis
wakes all who wait for it. So two workers watch, those that have a *place*; the others
wait for a *call*, a list of which Redis gives each element to one of them. Who takes a
job gives its place up and calls another.

A place runs out by itself when its worker is lost, and there are two, so that one lost
worker makes no difference. Nothing depends on a call: who has waited for one for a
while looks at the queue all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.broker.lease_scripts import PREFIX

if TYPE_CHECKING:
    import redis

PLACES = 2
"""Workers that watch one queue; each is woken by each job that comes."""
CALL_TTL = 10
"""Seconds after which a call that nobody has heard is none any more."""
MAX_CALLS = 100
"""Workers that are called at once; each of them calls another."""

# KEYS are the queue and its places: take that which is ours, or else one that is free.
# What somebody else has written there counts as taken, for as long as a place at most.
_LOOK = """
local place = false
for i = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind == 'none' then
    place = place or KEYS[i]
  elseif kind == 'string' and redis.call('GET', KEYS[i]) == ARGV[1] then
    place = KEYS[i]
    break
  elseif redis.call('PTTL', KEYS[i]) < 0 then
    redis.call('PEXPIRE', KEYS[i], ARGV[2])
  end
end
if place then redis.call('SET', place, ARGV[1], 'PX', ARGV[2]) end
return {place and 1 or 0, redis.call('LLEN', KEYS[1])}
"""
_GIVE_UP = """
for _, key in ipairs(KEYS) do
  if redis.call('TYPE', key).ok == 'string' and redis.call('GET', key) == ARGV[1] then
    return redis.call('DEL', key)
  end
end
return 0
"""


class WatchPlaces:
    """The places of one queue, as one worker's thread sees them.

    Every method raises what `redis` does.
    """

    def __init__(self, connection: redis.Redis, queue_key: str, token: str) -> None:
        """Prepare.

        Args:
            connection: To Redis; it may be asked to wait.
            queue_key: The queue's list.
            token: What tells this watcher from every other, also with a new connection.
        """
        self._redis = connection
        self._token = token
        self._queue_key = queue_key
        self._keys = [f"{PREFIX}:watch:{queue_key}:{n}" for n in range(PLACES)]
        self._calls = f"{PREFIX}:watch:{queue_key}:calls"
        self._look = connection.register_script(_LOOK)
        self._give_up = connection.register_script(_GIVE_UP)

    def look(self, seconds: float) -> tuple[bool, int]:
        """Take a place, or keep ours, and look at the queue.

        Args:
            seconds: How long the place is ours.

        Returns:
            Whether we have one, and how many entries wait in the queue.
        """
        has_place, entries = self._look(
            keys=[self._queue_key, *self._keys],
            args=[self._token, int(seconds * 1000)],
        )
        return bool(has_place), int(entries)

    def give_up(self) -> bool:
        """Give our place up, if we have one, and call another worker to it."""
        given = bool(self._give_up(keys=self._keys, args=[self._token]))
        if given:
            self.call(1)
        return given

    def call(self, count: int) -> None:
        """Call workers that wait, each to a look at the queue.

        Args:
            count: How many; those that were called before and have not come are not.
        """
        with self._redis.pipeline() as pipeline:
            pipeline.delete(self._calls)  # nobody waits, or they would have been heard
            pipeline.rpush(self._calls, *[b""] * min(count, MAX_CALLS))
            pipeline.expire(self._calls, CALL_TTL)
            pipeline.execute()

    def wait_for_call(self, seconds: float) -> bool:
        """Wait until somebody calls us; whether anybody has.

        Args:
            seconds: How long at most.
        """
        return self._redis.blpop([self._calls], seconds) is not None
