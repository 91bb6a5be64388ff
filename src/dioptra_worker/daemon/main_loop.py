"""The main loop: takes one job after the other and minds signals meanwhile."""

from __future__ import annotations

import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.common.background import in_background
from dioptra_worker.common.stop import Stopped
from dioptra_worker.common.text.humanize import duration
from dioptra_worker.daemon.health.snapshot import API
from dioptra_worker.daemon.service_calls import STOPPED, MainLoopCalls, NoAnswer
from dioptra_worker.daemon.shutdown import Shutdown
from dioptra_worker.daemon.wakeup import WakeUp
from dioptra_worker.errors import (
    LoginRefused,
    PlatformTooOld,
    ServiceUnavailable,
    WorkerTrouble,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.broker.rq.queue_watcher import QueueWatcher
    from dioptra_worker.broker.rq.rq_worker import QueueEntry, RqWorker
    from dioptra_worker.common.stop import JobStop, StopRequests
    from dioptra_worker.daemon.health.state import HealthState
    from dioptra_worker.daemon.job.handler import Handler
    from dioptra_worker.daemon.options import DaemonOptions

log = logging.getLogger("dioptra_worker.daemon")

IDLE_CHECK_INTERVAL = 30.0
"""Seconds after which an idle daemon looks at its queues unasked."""
SUSPENDED_CHECK_INTERVAL = 2.0
NO_THREAD_PAUSE = 10.0
"""Seconds for which no job is taken where there was no thread for one."""


class IdleWork(Protocol):
    """Something to be done while there is no job; neither of its methods waits."""

    def idle(self) -> None:
        """There is none."""

    def busy(self) -> None:
        """One comes."""


class MainLoop:
    """The daemon's main loop; `run` belongs to the main thread."""

    def __init__(
        self,
        options: DaemonOptions,
        *,
        api: DioptraApi,
        rq: RqWorker,
        handler: Handler,
        queue_watcher: QueueWatcher,
        stops: StopRequests,
        health: HealthState,
        preloading: IdleWork,
        shutdown_grace: float,
        kill_grace: float,
    ) -> None:
        """Prepare.

        Args:
            options: Say when to end.
            api: Must be there before a job is taken.
            rq: What jobs are taken from.
            handler: Handles a job to its end.
            queue_watcher: Has something in `StopRequests.events` when a queue has.
            stops: What was asked of the worker.
            health: Is told that the loop lives.
            preloading: Has something to do while there is no job.
            shutdown_grace: Seconds that a job has to end when the worker shuts down.
            kill_grace: Seconds that it has between being told to stop and being killed.
        """
        self._options = options
        self._api = api
        self._rq = rq
        self._handler = handler
        self._queue_watcher = queue_watcher
        self._stops = stops
        self._wakeup = WakeUp(stops, tick=health.tick)
        self._health = health
        self._preloading = preloading
        self._shutdown_grace = shutdown_grace
        self._kill_grace = kill_grace
        self._calls = MainLoopCalls(stops=stops, wakeup=self._wakeup, health=health)
        self._jobs = 0
        self._idle_since = time.monotonic()

    def run(self) -> None:
        """Take and handle jobs until told to stop, or as long as the options say."""
        while not self._wakeup.stopping:
            found = self._next()
            if found is not None:
                self._preloading.busy()
                self._queue_watcher.pause()
                self._drive(found)
                self._idle_since = time.monotonic()
                self._jobs += 1
                if self._jobs == self._options.max_jobs:
                    log.info("%d jobs done, ending", self._jobs)
                    return
            elif self._options.burst:
                log.info("the queues are empty, ending")
                return
            elif self._idle_too_long():
                log.info("idle for %s, ending", duration(self._options.max_idle or 0))
                return
            elif not self._wakeup.stopping:  # which may have ended another wait already
                self._queue_watcher.watch()
                self._preloading.idle()
                self._wakeup.wait(self._longest_wait())

    def _next(self) -> QueueEntry | None:
        """Take a job, if we may and there is one."""
        suspended = self._calls.wait_for(self._rq.suspended)
        if isinstance(suspended, NoAnswer):
            return None
        if suspended:
            log.info("suspended by 'rq suspend'; 'rq resume' ends that")
            self._health.phase("suspended")
            while self._calls.wait_for(self._rq.suspended) is True:
                self._wakeup.sleep_unless_stopped(SUSPENDED_CHECK_INTERVAL)
            self._health.phase("serving")
            return None
        if self._calls.wait_for(self._reach, API) is STOPPED:
            return None
        found = self._calls.wait_for(self._rq.dequeue)
        return None if isinstance(found, NoAnswer) else found

    def _drive(self, entry: QueueEntry) -> None:
        """Handle an entry in a thread while this one minds signals."""
        with self._stops.handling() as stop:
            self._supervise(entry, stop)

    def _supervise(self, entry: QueueEntry, stop: JobStop) -> None:
        handle = partial(self._handler.handle, entry, stop)
        try:
            handled = in_background(handle, "dioptra-attempt")
        except WorkerTrouble as error:
            log.error("queue entry %s is left to other workers: %s", entry.id, error)
            self._wakeup.sleep_unless_stopped(NO_THREAD_PAUSE)
            return
        handled.add_done_callback(lambda _: self._stops.events.put(None))
        shutdown = Shutdown(
            self._stops,
            self._health,
            grace=self._shutdown_grace,
            kill_grace=self._kill_grace,
        )
        while not handled.done():
            self._wakeup.wait(shutdown.proceed())
            if shutdown.is_overdue and not handled.done():
                log.error("queue entry %s is left to other workers", entry.id)
                return
        try:
            api_is_there = handled.result()
        except Stopped:
            log.warning("queue entry %s is left to other workers", entry.id)
        except BaseException:  # the main loop goes on, whatever it is
            log.exception("queue entry %s could not be handled", entry.id)
        else:
            if not api_is_there:
                self._calls.wait_for(self._answering, API)
            if self._handler.trouble.pause > 0:
                self._wakeup.sleep_unless_stopped(self._handler.trouble.pause)

    def _reach(self) -> None:
        """See whether the API is there, and still new enough after a login."""
        self._api.reach()
        with _mended_later():
            self._api.check_platform()

    def _answering(self) -> None:
        """See whether the API works for us."""
        with _mended_later():
            self._api.ping()

    def _longest_wait(self) -> float:
        if self._options.max_idle is None:
            return IDLE_CHECK_INTERVAL
        left = self._idle_since + self._options.max_idle - time.monotonic()
        return max(0.05, min(IDLE_CHECK_INTERVAL, left))

    def _idle_too_long(self) -> bool:
        limit = self._options.max_idle
        return limit is not None and time.monotonic() - self._idle_since >= limit


@contextlib.contextmanager
def _mended_later() -> Iterator[None]:
    """Wait for who is refused now, as for who is away: people may mend it."""
    try:
        yield
    except (LoginRefused, PlatformTooOld) as error:
        raise ServiceUnavailable(str(error), service=error.service) from error
