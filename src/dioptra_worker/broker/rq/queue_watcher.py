"""Says when a queue has something, without taking it.

Taking happens elsewhere, atomically and never blocking, so that no signal and no
lost connection can come between a job leaving its queue and us knowing of it.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import uuid
from typing import TYPE_CHECKING, Self

import redis

from dioptra_worker.broker.rq.watch_places import WatchPlaces
from dioptra_worker.common.background import in_background

if TYPE_CHECKING:
    import queue
    from collections.abc import Callable, Sequence

log = logging.getLogger("dioptra_worker.queue_watcher")

BLOCK_TIMEOUT = 10
"""Seconds that one blocking call waits; the connection's timeout is longer.

So long a job may have to wait, too, if all who watched its queue were lost at the same
time.
"""
PLACE_TTL = BLOCK_TIMEOUT + 5.0
"""Seconds after which a lost worker watches no more; between two blocking calls its
place is renewed."""
SECOND_LOOK = 1.0
"""Seconds after which an entry that is still there wakes a worker that does not watch,
and was not called."""
VERDICT_TIMEOUT = 0.5
"""Seconds that a worker has to take what it was woken for before others are called."""
PAUSE = 1.0
"""Seconds after which a look that failed is tried again."""
LEAVE_TIMEOUT = 0.2
"""Seconds that Redis has, at the end, to hear that we watch no more."""


class QueueWatcher:
    """Watches queues, each in a thread with a connection of its own.

    A blocking ``BLMOVE`` from the head of a list to its head waits for an element and
    changes nothing: a look that can wait (Redis 6.2 and later). Few of a queue's idle
    workers do that: see `watch_places`.
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
        self._changed = threading.Condition()
        self._is_idle = False
        self._verdicts = 0
        self._token = uuid.uuid4().hex
        self._is_closed = False
        self._threads = [
            threading.Thread(
                target=self._work, args=[key], name="dioptra-queue", daemon=True
            )
            for key in keys
        ]
        self._places: dict[str, WatchPlaces] = {}

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Have others watch; a thread that blocks ends with the process."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        with contextlib.suppress(redis.RedisError, TimeoutError):
            in_background(self._leave, "dioptra-call").result(LEAVE_TIMEOUT)

    def watch(self) -> None:
        """Say it at the next occasion, also if there already is something."""
        self._note(is_idle=True)

    def pause(self) -> None:
        """Say nothing more until `watch`: the worker is busy, and others may watch."""
        self._note(is_idle=False)

    def _note(self, *, is_idle: bool) -> None:
        with self._changed:
            self._is_idle = is_idle
            self._verdicts += 1
            self._changed.notify_all()

    def _leave(self) -> None:
        for places in list(self._places.values()):
            places.give_up()

    # In a queue's thread.

    def _work(self, key: str) -> None:
        while not self._is_closed:
            try:
                self._work_with(self._connect(BLOCK_TIMEOUT), key)
            except (redis.RedisError, OSError) as error:
                # The daemon itself says that Redis is away.
                log.debug("watching queue %r again after: %s", key, error)
                self._rest(PAUSE)
            except Exception:  # without this thread a job waits for the next look
                log.exception("watching queue %r broke, and begins again", key)
                self._rest(PAUSE)

    def _work_with(self, connection: redis.Redis, key: str) -> None:
        places = WatchPlaces(connection, key, self._token)
        self._places[key] = places
        is_called = was_there = False
        while self._await_idle():
            has_place, entries = places.look(PLACE_TTL)
            if has_place:
                self._watch(connection, key, places)
            elif entries and (is_called or was_there):
                self._wake()
                is_called = was_there = False
            else:  # those who watch may just be about to take what is there
                was_there = entries > 0
                is_called = self._stand_by(places, soon=was_there)

    def _watch(self, connection: redis.Redis, key: str, places: WatchPlaces) -> None:
        """Wait for an entry as one of those who are woken by any."""
        found = connection.blmove(key, key, BLOCK_TIMEOUT, "LEFT", "LEFT")
        if self._is_closed:
            return
        if found is None:
            if not self._is_idle:
                places.give_up()
            return
        if (others := connection.llen(key) - 1) > 0:
            places.call(others)
        # One that is busy, or does not get to it, leaves the entry to who watches next.
        if not self._wake():
            places.give_up()

    def _stand_by(self, places: WatchPlaces, *, soon: bool) -> bool:
        """Wait for a call, or for the time to look without one; whether one came."""
        # Not in step with others, nor with what has ended all who watched.
        seconds = random.uniform(0.8, 1.0) * BLOCK_TIMEOUT  # noqa: S311 - no secret
        is_called = places.wait_for_call(SECOND_LOOK if soon else seconds)
        if is_called and (self._is_closed or not self._is_idle):
            places.call(1)
        return is_called

    def _wake(self) -> bool:
        """Wake the worker if it is idle; whether it is again, having taken nothing."""
        with self._changed:
            if not self._is_idle:
                return False
            self._is_idle = False
            before = self._verdicts
            self._ready.put(None)
            self._changed.wait_for(
                lambda: self._verdicts != before or self._is_closed, VERDICT_TIMEOUT
            )
            return self._is_idle

    def _await_idle(self) -> bool:
        """Wait until the worker is idle; False when it ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_idle or self._is_closed)
            return not self._is_closed

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, seconds)
