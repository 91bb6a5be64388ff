"""How the main loop calls services: patiently, alive, and until told to stop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from dioptra_worker.common.outage_log import OutageLog
from dioptra_worker.common.retry import FOREVER, retry_until_available
from dioptra_worker.daemon.health.snapshot import API, REDIS

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


class Stopped:
    """Instead of an answer: the daemon was told to stop while it waited."""


STOPPED: Final = Stopped()


class Waiting:
    """Calls services for the main loop's thread."""

    def __init__(self, *, wakeup: WakeUp, health: HealthState) -> None:
        """Prepare.

        Args:
            wakeup: Says when to stop.
            health: Is told which service answers, and that the main loop lives.
        """
        self._wakeup = wakeup
        self._health = health
        self._outages = OutageLog()

    def wait_for(self, call: Callable[[], T], service: str = REDIS) -> T | Stopped:
        """Call until a service answers; `STOPPED` when told to stop meanwhile."""

        def sleep(seconds: float) -> None:
            if self._wakeup.pause(seconds):
                raise _ToldToStop
            self._health.tick(LONGEST_CALL[service])

        self._health.tick(LONGEST_CALL[service])
        patient = partial(self.contacting, service, call)
        try:
            return retry_until_available(
                patient,
                seconds=FOREVER,
                sleep=sleep,
                on_wait=self._outages.on_wait,
                on_back=self._outages.on_back,
            )
        except _ToldToStop:
            return STOPPED

    def pause(self, seconds: float) -> bool:
        """Pause, and show that the main loop goes on; True when told to stop."""
        stopping = self._wakeup.pause(seconds)
        self._health.tick(LONGEST_CALL[API])
        return stopping

    def contacting(self, service: str, call: Callable[[], T]) -> T:
        """Call, and note whether the service answers."""
        with self._health.contacting(service):
            return call()


class _ToldToStop(Exception):
    """The daemon was told to stop while it waited."""
