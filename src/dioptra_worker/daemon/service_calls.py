"""How the daemon calls services: again and again, until one answers.

Two wait: the main loop, which shows meanwhile that it lives and breaks off when the
daemon is told to stop, and the thread that handles a job, which has Redis note what
became of it also while the daemon is about to end.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, cast

from dioptra_worker.common.outage_log import OutageLog
from dioptra_worker.common.retry import FOREVER, retry_until_available
from dioptra_worker.daemon.health.snapshot import API, REDIS
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.daemon.health.state import HealthState
    from dioptra_worker.daemon.wakeup import WakeUp

T = TypeVar("T")

LONGEST_CALL = {REDIS: 110.0, API: 180.0}
"""Seconds within which a call of a service ends, or breaks off, in any case.

The main loop asks Redis for little, in at most two tries of a name's look-up (30 s), a
connection and an answer (10 s each); it logs in to the API, or asks it who we are.
"""
LAST_TRIES_TIMEOUT = 10.0
"""Seconds that a worker which shuts down goes on to call Redis that is away."""


class Stopped:
    """Instead of an answer: the daemon was told to stop while it waited."""


STOPPED: Final = Stopped()


class _ServiceCalls:
    """Calls a service until it answers, told in the log and to the daemon's health."""

    def __init__(self, health: HealthState) -> None:
        self._health = health
        self._outages = OutageLog()

    def _call(
        self, call: Callable[[], T], service: str, sleep: Callable[[float], None]
    ) -> T:
        def contact() -> T:
            with self._health.contacting(service):
                return call()

        return retry_until_available(
            contact,
            seconds=FOREVER,
            sleep=sleep,
            on_wait=self._outages.on_wait,
            on_back=self._outages.on_back,
        )


class MainLoopCalls(_ServiceCalls):
    """The main loop's calls of services; only its thread may make them."""

    def __init__(self, *, wakeup: WakeUp, health: HealthState) -> None:
        """Prepare.

        Args:
            wakeup: Says when to stop.
            health: Is told which service answers, and that the main loop lives.
        """
        super().__init__(health)
        self._wakeup = wakeup

    def wait_for(self, call: Callable[[], T], service: str = REDIS) -> T | Stopped:
        """Call until a service answers; `STOPPED` when told to stop meanwhile."""

        def sleep(seconds: float) -> None:
            if self._wakeup.sleep_unless_stopped(seconds):
                raise _ToldToStop
            self._health.tick(LONGEST_CALL[service])

        self._health.tick(LONGEST_CALL[service])
        try:
            return self._call(call, service, sleep)
        except _ToldToStop:
            return STOPPED


class RedisRetries(_ServiceCalls):
    """Has Redis do what the handler of a job asks, however long Redis is away."""

    def __init__(
        self,
        *,
        health: HealthState,
        stopping: Callable[[], bool],
        last_tries: float = LAST_TRIES_TIMEOUT,
    ) -> None:
        """Prepare.

        Args:
            health: Is told whether Redis answers.
            stopping: Whether the worker shuts down.
            last_tries: Seconds after which a worker that shuts down gives up.
        """
        super().__init__(health)
        self._stopping = stopping
        self._last_tries = last_tries

    def wrap(self, target: T) -> T:
        """The same object for who waits: each of its methods is called until it works.

        What a method raises for another reason than that Redis is away is raised.
        """
        return cast("T", _RetryingProxy(target, self._until_answered))

    def _until_answered(self, call: Callable[[], T]) -> T:
        give_up_at: float | None = None

        def sleep(seconds: float) -> None:
            nonlocal give_up_at
            if self._stopping():
                give_up_at = give_up_at or time.monotonic() + self._last_tries
                if time.monotonic() > give_up_at:
                    raise ServiceUnavailable("Redis stayed away", service=REDIS)
            time.sleep(seconds)

        return self._call(call, REDIS, sleep)


class _RetryingProxy:
    """Stands for an object, and has its methods called by somebody else.

    Only calls from outside pass here: a method that calls another of its own object is
    tried again as a whole.
    """

    def __init__(
        self, target: object, retry: Callable[[Callable[[], object]], object]
    ) -> None:
        self._target = target
        self._retry = retry

    def __getattr__(self, name: str) -> object:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def method(*args: object, **kwargs: object) -> object:
            return self._retry(partial(found, *args, **kwargs))

        return method


class _ToldToStop(Exception):
    """The daemon was told to stop while it waited."""
