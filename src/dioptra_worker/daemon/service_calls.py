"""How the daemon calls services: again and again, until one answers.

Two wait: the main loop, which shows meanwhile that it lives and breaks off when the
daemon is told to shut down, and the thread that handles a job, which has Redis note
what became of it also while the daemon is about to end. Each call is made in a thread
that nobody has to wait for: a service may accept a connection and never answer.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, cast

from dioptra_worker.common.background import in_background
from dioptra_worker.common.network.backoff import FOREVER, retry_until_available
from dioptra_worker.common.network.outage_log import OutageLog
from dioptra_worker.common.stop import BOOKS_TIMEOUT
from dioptra_worker.daemon.health.snapshot import REDIS
from dioptra_worker.errors import ServiceUnavailable, WorkerTrouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.common.stop import JobStop, StopRequests
    from dioptra_worker.daemon.health.state import HealthState
    from dioptra_worker.daemon.wakeup import WakeUp

T = TypeVar("T")

BROKEN_OFF_TIMEOUT = 0.2
"""Seconds that the main loop waits for an answer when it is told to shut down."""


class NoAnswer:
    """Instead of an answer: the daemon was told to shut down while it waited."""


STOPPED: Final = NoAnswer()


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
                try:
                    return call()
                except WorkerTrouble as error:
                    words = f"{service} cannot be asked: {error}"
                    raise ServiceUnavailable(words, service=service) from error

        return retry_until_available(
            contact,
            seconds=FOREVER,
            sleep=sleep,
            on_wait=self._outages.on_wait,
            on_back=self._outages.on_back,
        )


class MainLoopCalls(_ServiceCalls):
    """The main loop's calls of services; only its thread may make them."""

    def __init__(
        self, *, stops: StopRequests, wakeup: WakeUp, health: HealthState
    ) -> None:
        """Prepare.

        Args:
            stops: Is told that an answer has come.
            wakeup: Says when to stop.
            health: Is told which service answers.
        """
        super().__init__(health)
        self._stops = stops
        self._wakeup = wakeup

    def wait_for(self, call: Callable[[], T], service: str = REDIS) -> T | NoAnswer:
        """Call until a service answers; `STOPPED` when told to shut down meanwhile."""
        if self._wakeup.stopping:
            return STOPPED
        try:
            return self._call(partial(self._answer, call), service, self._sleep)
        except _ToldToStop:
            return STOPPED

    def ask(self, call: Callable[[], T]) -> T | NoAnswer:
        """Call once, whatever comes of it; `STOPPED` when told to shut down."""
        try:
            return self._answer(call)
        except _ToldToStop:
            return STOPPED

    def _answer(self, call: Callable[[], T]) -> T:
        """What a call gives; the main loop lives on while it hangs."""
        answer = in_background(call, "dioptra-call")
        answer.add_done_callback(lambda _: self._stops.events.put(None))
        while not answer.done():
            if not self._wakeup.stopping:
                self._wakeup.wait(None)
                continue
            try:  # whatever was taken from a queue just now would be nobody's
                return answer.result(BROKEN_OFF_TIMEOUT)
            except TimeoutError:
                raise _ToldToStop from None
        return answer.result()

    def _sleep(self, seconds: float) -> None:
        if self._wakeup.sleep_unless_stopped(seconds):
            raise _ToldToStop


class RedisRetries(_ServiceCalls):
    """Has Redis do what the handler of a job asks, as long as there is time for it."""

    def wrap(self, target: T, stop: JobStop) -> T:
        """The same object for who waits: each of its methods is called until it works.

        What a method raises for another reason than that Redis is away is raised, and
        `common.stop.Stopped` when there is no time left.
        """
        return cast("T", _RetryingProxy(target, partial(self._until_answered, stop)))

    def _until_answered(self, stop: JobStop, call: Callable[[], T]) -> T:
        return self._call(
            lambda: stop.call(call, beyond=BOOKS_TIMEOUT),
            REDIS,
            partial(stop.pause, beyond=BOOKS_TIMEOUT),
        )


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
    """The daemon was told to shut down while it waited."""
