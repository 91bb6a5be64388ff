"""Says when a queue has something, without taking it.

Taking happens elsewhere, atomically and never blocking, so that no signal and no
lost connection can come between a job leaving its queue and us knowing of it.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Self

import redis

if TYPE_CHECKING:
    import queue
    from collections.abc import Callable, Sequence

log = logging.getLogger("dioptra_worker.queue_watcher")

PAUSE = 1.0
"""Seconds after which a look that failed is tried again."""
BLOCK_TIMEOUT = 15
"""Seconds that one blocking call waits; the connection's timeout is longer."""


class QueueWatcher:
    """Watches queues, each in a thread with a connection of its own.

    A blocking ``BLMOVE`` from the head of a list to its head waits for an element and
    changes nothing: a look that can wait (Redis 6.2 and later).
    """

    def __init__(
        self,
        connect: Callable[[float], redis.Redis],
        keys: Sequence[str],
        *,
        ready: queue.SimpleQueue[None],
    ) -> None:
        """Prepare; entering starts the threads.

        Args:
            connect: Makes a connection whose answers may take the given seconds.
            keys: The lists to watch.
            ready: Gets something when one of them has.
        """
        self._connect = connect
        self._ready = ready
        self._watching = threading.Event()
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._wait, args=[key], name="dioptra-queue", daemon=True
            )
            for key in keys
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Tell the threads to end; one that blocks ends with the process."""
        self._closed.set()
        self._watching.set()

    def watch(self) -> None:
        """Say it at the next occasion, also if there already is something."""
        self._watching.set()

    def _wait(self, key: str) -> None:
        while not self._closed.is_set():
            try:
                self._watch(self._connect(BLOCK_TIMEOUT), key)
            except (redis.RedisError, OSError) as error:
                # The daemon itself says that Redis is away.
                log.debug("watching queue %r again after: %s", key, error)
                self._closed.wait(PAUSE)
            except Exception:  # without this thread a job waits for the next look
                log.exception("watching queue %r broke, and begins again", key)
                self._closed.wait(PAUSE)

    def _watch(self, connection: redis.Redis, key: str) -> None:
        while True:
            self._watching.wait()
            if self._closed.is_set():
                return
            found = connection.blmove(key, key, BLOCK_TIMEOUT, "LEFT", "LEFT")
            if found is not None:
                self._watching.clear()
                self._ready.put(None)
