"""The daemon: everything that the main loop needs, begun and ended in order.

Lifetimes in the order in which they begin; they end in reverse:

1. fork server and API session (`dioptra_worker.cli.serving`); 2. signals, which from
here on only ask the daemon to end; 3. the health reporter, before anything is waited
for; 4. the login: who is refused, or finds a platform that is too old, never appears in
RQ's list of workers; 5. the registration with RQ; 6. heartbeats, RQ's commands, the
queue watcher, recovery; 7. the main loop.

Heartbeats begin after the registration and end before it does: a later one would
register the worker anew.
"""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from dioptra_worker import __version__
from dioptra_worker.broker import connection as redis_border
from dioptra_worker.broker.leases import Leases
from dioptra_worker.broker.queue_names import unknown_queue
from dioptra_worker.broker.rights import check_rights
from dioptra_worker.broker.rq.commands import CommandListener
from dioptra_worker.broker.rq.queue_watcher import QueueWatcher
from dioptra_worker.broker.rq.registries import INTERMEDIATE_TIMEOUT, Registries
from dioptra_worker.broker.rq.rq_worker import RqWorker
from dioptra_worker.common.background import in_background
from dioptra_worker.common.files.stale_workspaces import remove_stale
from dioptra_worker.common.stop import StopRequests
from dioptra_worker.daemon.health.reporter import HealthReporter
from dioptra_worker.daemon.health.snapshot import API
from dioptra_worker.daemon.health.state import HealthState
from dioptra_worker.daemon.job.attempt import CLOSE_RUN_TIMEOUT
from dioptra_worker.daemon.job.context import AttemptContext
from dioptra_worker.daemon.job.handler import Handler
from dioptra_worker.daemon.job.heartbeat import (
    SILENCE_OF_THE_DEAD,
    Heartbeat,
    interval_for,
)
from dioptra_worker.daemon.learning.import_costs import ImportCosts
from dioptra_worker.daemon.learning.other_workers import OtherWorkers
from dioptra_worker.daemon.learning.preloading import Preloading, bound
from dioptra_worker.daemon.main_loop import MainLoop
from dioptra_worker.daemon.outbox.journal import Journals
from dioptra_worker.daemon.record.pending_records import PendingRecords
from dioptra_worker.daemon.record.records import Records
from dioptra_worker.daemon.recovery.orphaned_outboxes import OrphanedOutboxes
from dioptra_worker.daemon.recovery.sweep import SWEEP_INTERVAL, Recovery
from dioptra_worker.daemon.service_calls import STOPPED, MainLoopCalls, NoAnswer
from dioptra_worker.daemon.shutdown import stop_signals
from dioptra_worker.daemon.staging.snapshot_cache import SnapshotCache
from dioptra_worker.daemon.wakeup import WakeUp
from dioptra_worker.errors import NameTaken, ServiceError, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.common.text.masking import Mask
    from dioptra_worker.daemon.options import DaemonOptions
    from dioptra_worker.evidence.signing import Signer
    from dioptra_worker.settings import Settings, Times
    from dioptra_worker.supervision.launcher import Launcher

log = logging.getLogger("dioptra_worker.daemon")

READY_TIMEOUT = 60.0
"""Seconds that the fork server may take to import everything before jobs are taken."""
UNREGISTER_TIMEOUT = 0.2
"""Seconds that Redis has, at the end, to take us off RQ's list of workers."""


class Daemon:
    """One worker, from its start to its end; `run` belongs to the main thread."""

    def __init__(
        self,
        settings: Settings,
        options: DaemonOptions,
        *,
        api: DioptraApi,
        launcher: Launcher,
        mask: Mask,
        times: Times,
        signer: Signer | None = None,
    ) -> None:
        self._signer = signer
        self._settings = settings
        self._options = options
        self._api = api
        self._launcher = launcher
        self._mask = mask
        self._times = times
        self._health = HealthState()
        self._stops = StopRequests()
        self._wakeup = WakeUp(self._stops, tick=self._health.tick)
        self._records = Records(
            PendingRecords(settings.work_dir, api=api.url),
            api=api,
            launcher=launcher,
            pace=times.get("records_pace", 1.0),
        )
        self._preloading = Preloading(
            launcher,
            ImportCosts(
                settings.work_dir,
                key=settings.imports_key(),
                memory=bound(settings.preload_memory),
                tell=self._health.job_imported,
            ),
            queues=options.queues,
            memory=bound(settings.preload_memory),
            learns=settings.learns,
            told=self._health,
            others=OtherWorkers(settings.work_dir),
        )
        self._calls = MainLoopCalls(
            stops=self._stops, wakeup=self._wakeup, health=self._health
        )

    def run(self) -> None:
        """Serve the queues until told to stop.

        Raises:
            LoginRefused: If the API does not know us.
            NameTaken: If another process has this worker's name by now.
            PlatformTooOld: If the API lacks what a worker needs.
            ServiceRefused: If Redis does not let us do what a worker does.
            SettingsError: If the address of Redis is none.
        """
        connect = partial(
            redis_border.connect,
            self._settings.redis_url.get_secret_value(),
            answer_timeout=self._times.get(
                "redis_timeout", redis_border.ANSWER_TIMEOUT
            ),
        )
        connection = connect(0.0)
        reporter = HealthReporter(self._health, self._settings, name=self._options.name)
        with stop_signals(self._on_signal), reporter:
            self._launcher.start()  # it imports while we log in
            for folder in remove_stale(self._settings.work_dir):
                log.warning("removed %s, which a lost worker left", folder)
            if not self._prepare():
                return
            if self._calls.wait_for(lambda: check_rights(connection)) is STOPPED:
                return
            rq = self._calls.wait_for(lambda: self._rq_worker(connection))
            if isinstance(rq, NoAnswer):
                return
            if self._calls.wait_for(rq.register) is STOPPED:
                return
            heartbeat = self._heartbeat(rq)
            try:
                with (
                    heartbeat,
                    CommandListener(connect, rq.pubsub_channel_name, stops=self._stops),
                    QueueWatcher(
                        connect, rq.queue_keys(), ready=self._stops.events
                    ) as queue_watcher,
                    self._recovering(rq),
                    self._records,
                ):
                    # No job is taken before its runner could be forked.
                    self._calls.ask(
                        partial(self._launcher.wait_until_ready, READY_TIMEOUT)
                    )
                    self._health.preloaded(self._launcher.preloaded)
                    self._health.registered(rq.name, self._options.queues)
                    log.info(
                        "worker %s (dioptra-worker %s) listens on: %s",
                        rq.name,
                        __version__,
                        ", ".join(self._options.queues),
                        extra={"worker": rq.name},
                    )
                    self._loop(rq, heartbeat, queue_watcher).run()
            finally:
                self._health.phase("ending")
                if heartbeat.has_ended:  # a later one would register us anew
                    with contextlib.suppress(ServiceUnavailable, TimeoutError):
                        in_background(rq.unregister, "dioptra-call").result(
                            UNREGISTER_TIMEOUT
                        )
                log.info("worker %s has ended", rq.name)
            if rq.replaced_by is not None:
                raise NameTaken(
                    f"{rq.replaced_by} has the name {rq.name!r} of this worker now: one"
                    " that is silent for longer than its lease lasts can be replaced,"
                    " as one that slept or was cut off; if that was started beside"
                    " this one, give it another --name"
                )

    def _heartbeat(self, rq: RqWorker) -> Heartbeat:
        self._leases = Leases(
            rq.connection, worker=rq.name, ttl=self._settings.lease_ttl
        )
        self._heartbeat_interval = self._times.get(
            "heartbeat_interval", interval_for(self._settings.lease_ttl)
        )
        interval = self._heartbeat_interval
        return Heartbeat(
            rq, self._leases, self._health, interval=interval, stops=self._stops
        )

    def _handler(self, rq: RqWorker, heartbeat: Heartbeat) -> Handler:
        context = AttemptContext(
            self._api,
            self._launcher,
            self._leases,
            self._settings,
            self._mask,
            SnapshotCache(
                self._settings.work_dir / self._settings.cache_dir / "snapshots",
                size=self._settings.cache_size,
                identity=self._api.identity,
                key=self._settings.cache_key(),
            ),
            self._health,
            self._times,
            self._preloading,
            self._records,
            self._signer,
        )
        return Handler(
            rq=rq,
            registries=Registries(rq.connection),
            context=context,
            heartbeat=heartbeat,
            stops=self._stops,
        )

    def _loop(
        self, rq: RqWorker, heartbeat: Heartbeat, queue_watcher: QueueWatcher
    ) -> MainLoop:
        return MainLoop(
            self._options,
            api=self._api,
            rq=rq,
            handler=self._handler(rq, heartbeat),
            queue_watcher=queue_watcher,
            stops=self._stops,
            health=self._health,
            preloading=self._preloading,
            shutdown_grace=self._settings.shutdown_grace,
            kill_grace=self._settings.kill_grace,
        )

    @contextlib.contextmanager
    def _recovering(self, rq: RqWorker) -> Iterator[None]:
        """Look for what lost workers left, from a thread of its own."""
        journals = Journals(self._settings.work_dir, api=self._api.url)
        orphaned_outboxes = OrphanedOutboxes(
            api=self._api, leases=self._leases, journals=journals, mask=self._mask
        )
        close_run_timeout = self._times.get("close_run_timeout", CLOSE_RUN_TIMEOUT)
        recovery = Recovery(
            api=self._api,
            leases=self._leases,
            registries=Registries(
                rq.connection,
                intermediate=self._times.get("taken_timeout", INTERMEDIATE_TIMEOUT),
            ),
            queues=rq.queues,
            lost_after=self._settings.lost_after,
            close_run=partial(self._launcher.close_run, timeout=close_run_timeout),
            close_begun=partial(self._launcher.close_begun, timeout=close_run_timeout),
            orphaned_outboxes=orphaned_outboxes,
            interval=self._times.get("sweep_interval", SWEEP_INTERVAL),
            heartbeat=self._heartbeat_interval,
            health=self._health,
        )
        in_background(recovery.run, "dioptra-recovery")
        try:
            yield
        finally:
            recovery.end()  # a sweep that is under way can be broken off

    def _prepare(self) -> bool:
        """Log in and look at the queues' names; False when told to stop meanwhile."""
        for sentence in self._options.unused:
            log.info("%s", sentence)
        for call in (self._api.login, self._api.check_platform):
            if self._calls.wait_for(call, API) is STOPPED:
                return False
        with contextlib.suppress(ServiceError):  # the cache asks again
            self._calls.ask(self._api.identity)
        log.info("logged in to %s as %r", self._api.url, self._api.username)
        try:
            self._calls.ask(self._check_queues)
        except ServiceError as error:
            log.warning("whether the queues exist could not be checked: %s", error)
        return True

    def _check_queues(self) -> None:
        known = self._api.queue_names()
        for name in self._options.queues:
            if name not in known:
                log.warning("%s", unknown_queue(name, known))

    def _rq_worker(self, connection: Any) -> RqWorker:
        with redis_border.translate_errors():
            return RqWorker(
                self._options.queues,
                name=self._options.name,
                connection=connection,
                result_ttl=self._options.result_ttl,
                ttl=self._settings.lease_ttl,
                silence=SILENCE_OF_THE_DEAD,
                strategy=self._options.strategy,
            )

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        self._stops.shut_down()
