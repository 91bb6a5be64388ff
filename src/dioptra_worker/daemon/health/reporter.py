"""Shows the daemon's health, from a thread of its own.

Every few seconds it writes the heartbeat file, unless the main loop has missed a tick:
then the file grows old, which `dioptra-worker health` notices. Where a port is asked
for, it is opened; one that is taken is tried again, since whoever has it may be the
daemon that we replace.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from dioptra_worker.common.processes.process_identity import (
    ProcessId,
    identify,
    pid_namespace,
)
from dioptra_worker.daemon.health import heartbeat_file
from dioptra_worker.daemon.health.heartbeat_file import Heartbeat, NoHeartbeat, moment
from dioptra_worker.daemon.health.server import HealthServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.daemon.health.snapshot import Snapshot
    from dioptra_worker.daemon.health.state import HealthState
    from dioptra_worker.settings import Settings

log = logging.getLogger("dioptra_worker.health")

END_TIMEOUT = 0.2
"""Seconds that the worker's end waits for a disk that is being written to."""


class HealthReporter:
    """Shows the health from entering to leaving; the file is removed at the end.

    Attributes:
        path: The heartbeat file.
    """

    def __init__(
        self,
        health: HealthState,
        settings: Settings,
        *,
        name: str | None = None,
        interval: float = heartbeat_file.WRITE_INTERVAL,
    ) -> None:
        """Prepare; nothing is written or opened yet.

        Args:
            health: What to show.
            settings: Say where.
            name: The worker's fixed name, if it has one.
            interval: Seconds between two writes of the heartbeat file.
        """
        self._health = health
        self._settings = settings
        self._interval = interval
        process = identify(os.getpid())
        assert process is not None
        self._process = process
        self.path = heartbeat_file.place(
            settings.health_file,
            work_dir=settings.work_dir,
            name=name or str(process.pid),
        )
        self._server: HealthServer | None = None
        self._complaints: set[str] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="dioptra-health-file", daemon=True
        )

    def __enter__(self) -> Self:
        """Show it once, so that whoever looks now sees it, then go on."""
        self._remove_dead()
        self._report()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=END_TIMEOUT)
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    @property
    def port(self) -> int | None:
        """The port that is open, None when none is."""
        return None if self._server is None else self._server.port

    def _work(self) -> None:
        while not self._done.wait(self._interval):
            self._report()

    def _report(self) -> None:
        with self._once("file", f"the heartbeat file {self.path} cannot be written"):
            health = self._health.snapshot()
            if health.alive:
                heartbeat_file.write(self.path, _body(health, self._process))
        if self._settings.health_port and self._server is None:
            host, port = self._settings.health_host, self._settings.health_port
            with self._once("port", f"the health port {host}:{port} cannot be opened"):
                self._server = HealthServer(host, port, self._health)
                log.info("health is shown at http://%s:%d", host, self._server.port)

    @contextlib.contextmanager
    def _once(self, what: str, complaint: str) -> Iterator[None]:
        """Log a failure when it begins and when it is over; nothing depends on it."""
        try:
            yield
        except OSError as error:
            if what not in self._complaints:
                self._complaints.add(what)
                log.warning("%s: %s; it is tried again", complaint, error.strerror)
        else:
            if what in self._complaints:
                self._complaints.discard(what)
                log.info("the health %s works now", what)

    def _remove_dead(self) -> None:
        """Remove the files of daemons that were killed on this machine."""
        for path in heartbeat_file.candidates(
            self._settings.health_file, work_dir=self._settings.work_dir
        ):
            if is_dead(path):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def is_dead(path: Path) -> bool:
    """Whether a heartbeat file is a daemon's that ran here and runs no more."""
    try:
        heartbeat = Heartbeat.read(path)
    except NoHeartbeat:
        return False
    here = (socket.gethostname(), pid_namespace())
    if (heartbeat.host, heartbeat.namespace or here[1]) != here:
        return False
    return not ProcessId(heartbeat.pid, heartbeat.birth).is_alive()


def _body(health: Snapshot, process: ProcessId) -> dict[str, Any]:
    seen = datetime.fromtimestamp(health.parked.seen, UTC)
    return {
        "written": moment(health.now),
        "pid": process.pid,
        "birth": process.start_time,
        "host": socket.gethostname(),
        "namespace": pid_namespace(),
        "worker": health.worker,
        "queues": health.queues,
        "state": health.state,
        "since": moment(health.since),
        "job_id": health.job_id,
        "waiting_for": health.waiting_for,
        "trouble": health.trouble,
        "services": {
            name: {
                "answered": contact.answered and moment(contact.answered),
                "away_since": contact.away_since and moment(contact.away_since),
            }
            for name, contact in sorted(health.contacts.items())
        },
        "outbox": health.outbox,
        "parked": [
            {"job_id": job.job_id, **job.dump(seen)} for job in health.parked.jobs
        ],
    }
