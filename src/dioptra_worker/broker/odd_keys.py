"""Keys of ours in Redis into which somebody else has put something.

What a worker cannot read there must not stop it: a command that Redis refuses for its
key's type would be tried again for ever. What is of another type than ours is nothing
of ours, which is gone already: it is removed, and said. Only a lease is not, since its
holder may live.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Literal, TypeVar

import redis

from dioptra_worker.broker.connection import is_wrong_type, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
KeyType = Literal["string", "hash"]

log = logging.getLogger("dioptra_worker.broker")

MAX_TOLD = 1000
"""Keys of which we remember that they were told."""

_REMOVE = """
local removed = {}
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= ARGV[i] then
    redis.call('DEL', key)
    table.insert(removed, key)
  end
end
return removed
"""


class OddKeys:
    """Calls Redis, also where our keys have another type."""

    def __init__(self, connection: redis.Redis) -> None:
        """Prepare.

        Args:
            connection: To Redis.
        """
        self._remove = connection.register_script(_REMOVE)

    def call(self, types: Mapping[str, KeyType], call: Callable[[], T]) -> T:
        """Do something with keys; those of another type are removed before.

        Args:
            types: What the keys are.
            call: What to do.

        Raises:
            redis.RedisError: As *call* does.
        """
        try:
            return call()
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
        for key in texts(self._remove(keys=[*types], args=[*types.values()])):
            tell(key, "it was removed, and counts as empty")
        return call()


@functools.lru_cache(MAX_TOLD)
def tell(key: str, consequence: str) -> None:
    """Log, once in a process, that a key holds what no worker has written.

    Args:
        key: The key, or the key and a field.
        consequence: What becomes of it, and of what depends on it.
    """
    log.warning(
        "Redis' key %r holds what no worker has written: %s. If nobody did this by"
        " hand, another program uses this database: give the workers one of their own"
        " (RQ_REDIS_URI)",
        key,
        consequence,
        extra={"event": "odd-key"},
    )
