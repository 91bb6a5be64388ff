"""The daemon: takes jobs from the queues and drives one attempt at each.

Order of lifetimes, torn down in reverse: Redis registration, commands, bell, API
session, template, jobs.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import signal
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dioptra_worker import __version__
from dioptra_worker.api.patience import FOREVER, persist
from dioptra_worker.daemon import redis_client as rq_border
from dioptra_worker.daemon.alarm import TICK, Alarm
from dioptra_worker.daemon.attempt import CLOSE_RUN_TIMEOUT
from dioptra_worker.daemon.bell import Bell
from dioptra_worker.daemon.commands import CommandListener
from dioptra_worker.daemon.doorstep import wait_for
from dioptra_worker.daemon.handler import Handler
from dioptra_worker.daemon.health import Heart, Vitals
from dioptra_worker.daemon.ledger import Ledger
from dioptra_worker.daemon.leftovers import Leftovers
from dioptra_worker.daemon.recovery import Recovery
from dioptra_worker.daemon.report import Stop
from dioptra_worker.daemon.services import Services
from dioptra_worker.daemon.verdict import duration
from dioptra_worker.daemon.vital_signs import API, REDIS
from dioptra_worker.daemon.worker import HEARTBEAT, RqWorker
from dioptra_worker.errors import LoginRefused, ServiceError, ServiceUnavailable
from dioptra_worker.runner.workspace import remove_stale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from rq import Queue
    from rq.job import Job

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.daemon.doorstep import Address
    from dioptra_worker.daemon.launcher import Launcher
    from dioptra_worker.logs import Mask
    from dioptra_worker.settings import Settings

log = logging.getLogger("dioptra_worker.daemon")

T = TypeVar("T")
IDLE_CHECK = 30.0
"""Seconds after which an idle daemon looks at its queues although no bell rang."""
READY_TIMEOUT = 60.0
"""Seconds that the template may take to import everything before jobs are taken."""
SWEEP_END = 1.0
"""Seconds that a sweep for lost jobs may hold up the end; it can be broken off."""
SUSPENDED_CHECK = 2.0
LONGEST_CALL = 180.0
"""Seconds within which a call of a service ends, or breaks off, in any case."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What the command line asks of the daemon.

    Attributes:
        queues: The queues to serve, the most urgent first.
        name: The worker's name; None makes one up.
        burst: End when all queues are empty.
        max_jobs: End after this many jobs.
        max_idle: End after this many seconds without a job.
        result_ttl: Seconds that RQ keeps the record of a finished job.
        wait_for: Addresses that are to open before anything else is asked.
    """

    queues: tuple[str, ...]
    name: str | None = None
    burst: bool = False
    max_jobs: int | None = None
    max_idle: float | None = None
    result_ttl: int = 500
    wait_for: tuple[Address, ...] = ()


class Daemon:
    """One worker, from its start to its end; `run` belongs to the main thread."""

    def __init__(
        self,
        settings: Settings,
        orders: Orders,
        *,
        api: DioptraApi,
        launcher: Launcher,
        mask: Mask,
    ) -> None:
        self._settings = settings
        self._orders = orders
        self._api = api
        self._launcher = launcher
        self._mask = mask
        self._vitals = Vitals()
        self._alarm = Alarm(tick=self._vitals.tick)
        self._jobs = 0
        self._idle_since = time.monotonic()

    def run(self) -> None:
        """Serve the queues until told to stop.

        Raises:
            LoginRefused: If the API does not know us.
        """
        heart = Heart(self._vitals, self._settings, name=self._orders.name)
        with _signals(self._on_signal), heart:
            self._launcher.start()
            for folder in remove_stale(self._settings.work_dir):
                log.warning("removed %s, which a lost worker left", folder)
            if not self._prepare():
                return
            url = self._settings.redis_url.get_secret_value()
            connect = partial(rq_border.connect, url)
            books = self._wait_for(lambda: self._books(connect(0.0)))
            if books is None or books is _STOPPED:
                return
            if self._wait_for(books.register) is _STOPPED:
                return
            handler = self._handler(books)
            try:
                with (
                    _heartbeat(partial(self._contacting, REDIS, handler.beat)),
                    CommandListener(
                        connect,
                        books.pubsub_channel_name,
                        handle=partial(self._on_command, handler),
                    ),
                    Bell(connect, books.queue_keys(), ring=self._alarm.wake) as bell,
                    self._recovering(books),
                ):
                    self._vitals.tick(READY_TIMEOUT + TICK)
                    self._launcher.wait_until_ready(READY_TIMEOUT)
                    self._vitals.registered(books.name, self._orders.queues)
                    log.info(
                        "worker %s (dioptra-worker %s) listens on: %s",
                        books.name,
                        __version__,
                        ", ".join(self._orders.queues),
                        extra={"worker": books.name},
                    )
                    self._serve(books, handler, bell)
            finally:
                self._vitals.phase("ending")
                with contextlib.suppress(ServiceUnavailable):
                    books.unregister()
                log.info("worker %s has ended", books.name)

    def _handler(self, books: RqWorker) -> Handler:
        self._ledger = Ledger(books.connection, worker=books.name)
        services = Services(
            self._api,
            self._launcher,
            self._ledger,
            self._settings,
            self._mask,
            self._vitals,
        )
        return Handler(
            books=books,
            leftovers=Leftovers(books.connection),
            services=services,
            stopping=lambda: self._alarm.stopping,
        )

    @contextlib.contextmanager
    def _recovering(self, books: RqWorker) -> Iterator[None]:
        """Look for what lost workers left, from a thread of its own."""
        recovery = Recovery(
            api=self._api,
            ledger=self._ledger,
            leftovers=Leftovers(books.connection),
            queues=books.queues,
            lost_after=self._settings.lost_after,
            close_run=partial(self._launcher.close_run, timeout=CLOSE_RUN_TIMEOUT),
        )
        done = threading.Event()
        thread = threading.Thread(
            target=recovery.run, args=[done], name="dioptra-recovery", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=SWEEP_END)

    # -- start -----------------------------------------------------------------

    def _prepare(self) -> bool:
        """Log in and look at the queues' names; False when told to stop meanwhile."""
        if not wait_for(self._orders.wait_for, pause=self._rest_alive):
            return False
        if self._wait_for(self._api.login, API) is _STOPPED:
            return False
        log.info("logged in to %s as %r", self._api.url, self._api.username)
        try:
            self._check_queues()
        except ServiceError as error:
            log.warning("whether the queues exist could not be checked: %s", error)
        return True

    def _check_queues(self) -> None:
        known = self._api.queue_names()
        for name in self._orders.queues:
            if name not in known:
                log.warning("%s", unknown_queue(name, known))

    def _books(self, connection: Any) -> RqWorker:
        with rq_border.mapped():
            return RqWorker(
                self._orders.queues,
                name=self._orders.name,
                connection=connection,
                result_ttl=self._orders.result_ttl,
            )

    # -- loop ------------------------------------------------------------------

    def _serve(self, books: RqWorker, handler: Handler, bell: Bell) -> None:
        while not self._alarm.stopping:
            found = self._next(books)
            if found is not None:
                self._drive(handler, *found)
                self._idle_since = time.monotonic()
                self._jobs += 1
                if self._jobs == self._orders.max_jobs:
                    log.info("%d jobs done, ending", self._jobs)
                    return
            elif self._orders.burst:
                log.info("the queues are empty, ending")
                return
            elif self._idle_too_long():
                log.info("idle for %s, ending", duration(self._orders.max_idle or 0))
                return
            else:
                bell.arm()
                self._alarm.rest(self._patience())

    def _next(self, books: RqWorker) -> tuple[Job, Queue] | None:
        """Take a job, if we may and there is one."""
        suspended = self._wait_for(books.suspended)
        if suspended is _STOPPED or suspended is None:
            return None
        if suspended:
            log.info("suspended by 'rq suspend'; 'rq resume' ends that")
            self._vitals.phase("suspended")
            while self._wait_for(books.suspended) is True:
                self._alarm.rest(SUSPENDED_CHECK)
            self._vitals.phase("serving")
            return None
        if self._wait_for(self._api.reach, API) is _STOPPED:
            return None
        found = self._wait_for(books.take)
        return found if isinstance(found, tuple) else None

    def _drive(self, handler: Handler, job: Job, source: Queue) -> None:
        """Handle an entry in a thread while this one minds signals."""
        handled: list[bool | None] = []

        def target() -> None:
            done = None
            try:
                done = handler.handle(job, source)
            except Exception:
                log.exception("queue entry %s could not be handled", job.id)
            handled.append(done)  # before it rings: the thread lives on a little
            self._alarm.wake()

        thread = threading.Thread(target=target, name="dioptra-attempt")
        thread.start()
        seen = 0
        give_back_at: float | None = None
        while not handled:
            if self._alarm.times > seen:
                seen = self._alarm.times
                give_back_at = self._on_shutdown(handler, seen, give_back_at)
            left = None
            if give_back_at is not None:
                left = give_back_at - time.monotonic()
                if left <= 0:
                    handler.stop(Stop("shutdown", "the worker was shut down"))
                    give_back_at, left = None, None
            self._alarm.rest(left)
        thread.join()
        if handled == [False]:
            self._wait_for(self._answering, API)

    def _rest_alive(self, seconds: float) -> bool:
        """Pause, and show that the main loop goes on; True when told to stop."""
        self._vitals.tick(LONGEST_CALL)
        return self._alarm.pause(seconds)

    def _answering(self) -> None:
        """See whether the API works for us; a login refused now may be mended."""
        try:
            self._api.ping()
        except LoginRefused as error:
            raise ServiceUnavailable(str(error), service=error.service) from error

    def _on_shutdown(
        self, handler: Handler, signals: int, give_back_at: float | None
    ) -> float | None:
        """Say what happens next; when to give the job back."""
        self._vitals.phase("ending")
        if signals == 1:
            grace = self._settings.shutdown_grace
            log.warning(
                "shutting down: no more jobs are taken, job %s has %s to end, then it"
                " is given back; a second signal gives it back at once",
                handler.job_id,
                duration(grace),
            )
            return time.monotonic() + grace
        log.warning("shutting down at once: job %s is given back", handler.job_id)
        handler.stop(Stop("shutdown", "the worker was shut down", at_once=signals > 2))
        return give_back_at

    # -- waiting ---------------------------------------------------------------

    def _wait_for(self, call: Callable[[], T], service: str = REDIS) -> T | None:
        """Call until a service answers; `_STOPPED` when told to stop meanwhile."""

        def sleep(seconds: float) -> None:
            if self._alarm.pause(seconds):
                raise _Stopped
            self._vitals.tick(LONGEST_CALL)

        self._vitals.tick(LONGEST_CALL)
        patient = partial(self._contacting, service, call)
        try:
            return persist(patient, seconds=FOREVER, sleep=sleep, on_wait=_log_wait)
        except _Stopped:
            return _STOPPED  # type: ignore[return-value] # compared by identity

    def _contacting(self, service: str, call: Callable[[], T]) -> T:
        """Call, and note whether the service answers."""
        with self._vitals.contacting(service):
            return call()

    def _patience(self) -> float:
        if self._orders.max_idle is None:
            return IDLE_CHECK
        left = self._idle_since + self._orders.max_idle - time.monotonic()
        return max(0.05, min(IDLE_CHECK, left))

    def _idle_too_long(self) -> bool:
        limit = self._orders.max_idle
        return limit is not None and time.monotonic() - self._idle_since >= limit

    # -- from elsewhere --------------------------------------------------------

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        self._alarm.stop()

    def _on_command(self, handler: Handler, command: Mapping[str, Any]) -> None:
        """Obey a command of RQ's; called in the listener's thread."""
        match command["command"]:
            case "shutdown":
                log.info("RQ's command to shut down")
                self._alarm.stop()
            case "stop-job" | "stop-execution":
                job_id = str(command.get("job_id"))
                if str(handler.job_id) == job_id:
                    handler.stop(Stop("requested", "stopped by request"))
                else:
                    log.warning("not running job %s: stop ignored", job_id)
            case "kill-horse":
                handler.stop(Stop("requested", "killed by request", at_once=True))
            case other:
                log.warning("unknown command %r was ignored", other)


class _Stopped(Exception):
    """The daemon was told to stop while it waited."""


_STOPPED = object()


def unknown_queue(name: str, known: list[str]) -> str:
    """What to say of a queue that the API does not know.

    Args:
        name: The queue that we listen on.
        known: The API's queues.
    """
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(map(repr, near))}?"
        if near
        else "it knows: " + (", ".join(map(repr, sorted(known))) or "none")
    )
    return (
        f"the Dioptra API has no queue {name!r}, so no job can come from it until it is"
        f" registered; {hint}"
    )


def _log_wait(error: ServiceUnavailable) -> None:
    log.warning("waiting: %s", error)


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {
        number: signal.signal(number, handler)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def _heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """Beat from a thread of its own, so that nothing else can delay it."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(HEARTBEAT):
            try:
                beat()
            except ServiceUnavailable as error:
                log.debug("no heartbeat: %s", error)

    thread = threading.Thread(target=work, name="dioptra-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=rq_border.ANSWER)
