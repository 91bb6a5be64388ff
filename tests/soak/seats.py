"""The places for workers: each with ways of its own to every service, and its clock."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.plugins.tcp_proxy import TcpProxy, tcp_proxy
from tests.plugins.worker_process import WorkerProcess, times, worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.soak.queue_servers import QueueServers
    from tests.soak.stepped_clock import SteppedClock

    from dioptra_worker.tools.local import LocalStack

LEASE_TTL = 10.0
LOST_AFTER = 5.0
SETTINGS = {
    "DIOPTRA_WORKER_API_TIMEOUT": "10",
    "DIOPTRA_WORKER_JOB_USERS": "none",
    "DIOPTRA_WORKER_KILL_GRACE": "2",
    "DIOPTRA_WORKER_LEASE_TTL": f"{LEASE_TTL:g}",
    "DIOPTRA_WORKER_LOST_AFTER": f"{LOST_AFTER:g}",
    "DIOPTRA_WORKER_MAX_ATTEMPTS": "20",
    "DIOPTRA_WORKER_SHUTDOWN_GRACE": "3",
    **times(redis_timeout=3.0, taken_timeout=3.0),
}
"""What differs from what a worker does by default."""

VARIABLES = {
    "redis": "RQ_REDIS_URI",
    "api": "DIOPTRA_API",
    "mlflow": "MLFLOW_TRACKING_URI",
    "s3": "MLFLOW_S3_ENDPOINT_URL",
}
"""By service, the variable that has its address."""

_START_TIMEOUT = 60.0
_MENTION = re.compile(r"\bjob (\d+)\b")


@dataclass
class Mention:
    """From when to when a worker spoke of a job."""

    first: float
    last: float


@dataclass
class Seat:
    """A place for a worker, one after the other.

    Attributes:
        number: Which, from 1.
        folder: Where its workers have their files.
        environment: Of its workers.
        proxies: The ways to the services.
        clock: The clock of its workers, if it can be stepped.
        is_kept: Whether its worker is never killed nor shut down.
        mentions: By job, when its workers spoke of it.
        codes: How its workers ended that were told to.
    """

    number: int
    folder: Path
    queue: str
    environment: dict[str, str]
    proxies: dict[str, TcpProxy]
    clock: SteppedClock | None
    is_kept: bool
    running: WorkerProcess | None = None
    mentions: dict[int, Mention] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)
    _closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _listens: threading.Event = field(default_factory=threading.Event)
    _reading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """What it is called."""
        return f"worker {self.number}"

    def start(self) -> None:
        """Start a worker; it listens after a while."""
        for name in ("tmp", "home"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        running = self._closing.enter_context(
            worker(
                self.environment,
                self.folder,
                self.queue,
                ready=False,
                settings=SETTINGS,
            )
        )
        self.running = running

    def kill(self) -> None:
        """Kill the daemon."""
        self._end(signal.SIGKILL)

    def shut_down(self) -> None:
        """Tell the daemon to end once it listens, and wait until it has."""
        self._listens.wait(_START_TIMEOUT)
        self.codes.append(self._end(signal.SIGTERM))

    def close(self) -> None:
        """End whatever runs."""
        self._closing.close()

    @property
    def daemon(self) -> int | None:
        """The daemon's process."""
        running = self.running
        return None if running is None else running.process.pid

    @property
    def forkserver(self) -> int | None:
        """The fork server's process: the oldest child of the daemon."""
        running = self.running
        return None if running is None else min(running.children(), default=None)

    def processes(self) -> list[int]:
        """The daemon, and all below it."""
        running = self.running
        return [] if running is None else [running.process.pid, *running.descendants()]

    def listen(self) -> None:
        """Read what the worker has written meanwhile."""
        with self._reading:
            self._listen()

    def _listen(self) -> None:
        running = self.running
        if running is None or not (lines := running.take_lines()):
            return
        now = time.time()
        with (self.folder / "log.txt").open("a", encoding="utf-8") as log:
            log.writelines(f"{now:.1f} {line}\n" for line in lines)
        for line in lines:
            if "listens on" in line:
                self._listens.set()
            for name in _MENTION.findall(line):
                found = self.mentions.setdefault(int(name), Mention(now, now))
                found.last = now

    def _end(self, signum: int) -> int:
        running = self.running
        assert running is not None
        running.send(signum)
        code = running.wait(60.0)
        self.listen()
        self.running = None
        self._closing.close()
        return code


def make_seat(
    number: int,
    *,
    stack: LocalStack,
    queue: str,
    queues: QueueServers,
    folder: Path,
    clock: SteppedClock | None,
    is_kept: bool,
    closing: contextlib.ExitStack,
) -> Seat:
    """Make a place; nobody is there yet.

    Args:
        number: Which, from 1.
        stack: Has the services.
        queue: Where its workers take jobs from.
        queues: The servers of that queue.
        folder: A folder for all places.
        clock: The clock of its workers, if it can be stepped.
        is_kept: Whether its worker is never killed nor shut down.
        closing: Ends its proxies.
    """
    own = folder / f"worker-{number}"
    proxies = {"redis": queues.proxy()}
    for service in ("api", "mlflow", "s3"):
        port = stack.service(service).port
        proxies[service] = closing.enter_context(tcp_proxy(port))
    environment = _through(stack.environment(), stack, proxies)
    environment |= {
        "HOME": str(own / "home"),
        "TMPDIR": str(own / "tmp"),
        "SOAK_SEAT": str(number),
    }
    if clock is not None:
        environment |= clock.environment
    return Seat(number, own, queue, environment, proxies, clock, is_kept)


def _through(
    environment: Mapping[str, str], stack: LocalStack, proxies: Mapping[str, TcpProxy]
) -> dict[str, str]:
    """The stack's environment, with proxies' ports in place of services'."""
    ports = {
        "redis": stack.service("valkey").port,
        **{name: stack.service(name).port for name in ("api", "mlflow", "s3")},
    }
    changed = {
        VARIABLES[name]: environment[VARIABLES[name]].replace(
            f":{ports[name]}", f":{proxy.port}"
        )
        for name, proxy in proxies.items()
    }
    return {**environment, **changed}


def signal_all(pids: list[int], signum: int) -> None:
    """Signal processes that are ours, as far as they still are there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
