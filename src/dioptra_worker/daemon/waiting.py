"""How the main loop calls services: patiently, alive, and until told to stop."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from dioptra_worker.api.patience import FOREVER, persist
from dioptra_worker.daemon.vital_signs import REDIS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.daemon.alarm import Alarm
    from dioptra_worker.daemon.vitals import Vitals
    from dioptra_worker.errors import ServiceUnavailable

log = logging.getLogger("dioptra_worker.daemon")

T = TypeVar("T")
LONGEST_CALL = 180.0
"""Seconds within which a call of a service ends, or breaks off, in any case."""


class Stopped:
    """Instead of an answer: the daemon was told to stop while it waited."""


STOPPED: Final = Stopped()


class Waiting:
    """Calls services for the main loop's thread."""

    def __init__(self, *, alarm: Alarm, vitals: Vitals) -> None:
        """Prepare.

        Args:
            alarm: Says when to stop.
            vitals: Is told which service answers, and that the main loop lives.
        """
        self._alarm = alarm
        self._vitals = vitals

    def wait_for(self, call: Callable[[], T], service: str = REDIS) -> T | Stopped:
        """Call until a service answers; `STOPPED` when told to stop meanwhile."""

        def sleep(seconds: float) -> None:
            if self._alarm.pause(seconds):
                raise _ToldToStop
            self._vitals.tick(LONGEST_CALL)

        self._vitals.tick(LONGEST_CALL)
        patient = partial(self.contacting, service, call)
        try:
            return persist(patient, seconds=FOREVER, sleep=sleep, on_wait=_log_wait)
        except _ToldToStop:
            return STOPPED

    def pause(self, seconds: float) -> bool:
        """Pause, and show that the main loop goes on; True when told to stop."""
        self._vitals.tick(LONGEST_CALL)
        return self._alarm.pause(seconds)

    def contacting(self, service: str, call: Callable[[], T]) -> T:
        """Call, and note whether the service answers."""
        with self._vitals.contacting(service):
            return call()


class _ToldToStop(Exception):
    """The daemon was told to stop while it waited."""


def _log_wait(error: ServiceUnavailable) -> None:
    log.warning("waiting: %s", error)
