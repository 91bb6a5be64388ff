"""One service of a stack: start, stop, kill, pause, resume, and how it is."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.common.files.plain_file import write_whole
from dioptra_worker.common.processes import process_identity
from dioptra_worker.common.processes.process_identity import ProcessId
from dioptra_worker.tools.local.errors import PortTaken, ServiceFailed
from dioptra_worker.tools.local.files import tail
from dioptra_worker.tools.local.ports import is_free
from dioptra_worker.tools.local.services.commands import command, token
from dioptra_worker.tools.local.services.probes import NotHealthy, probe

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.tools.local.config import StackConfig

# Generous: a loaded laptop with a cold disk takes ten times as long as a warm one.
_START_TIMEOUT = 90.0
_STOP_TIMEOUT = 60.0
_KILL_TIMEOUT = 10.0
_PROBE_TIMEOUT = 5.0
_POLL_INTERVAL = 0.05


@dataclass(frozen=True)
class Health:
    """How a service is.

    Attributes:
        name: The service.
        url: Its address, without a password.
        pid: Its process, if that runs.
        healthy: Whether it answers as it should.
        problem: Why not, in words.
        log: Its log file.
    """

    name: str
    url: str
    pid: int | None
    healthy: bool
    problem: str
    log: str


class Service:
    """One service of a stack, on a port that stays the same.

    Any process may hold a `Service` of a stack that another process started: what
    is known of the running one is in the stack's folder.

    Attributes:
        name: The service's name.
        config: The stack it belongs to.
    """

    def __init__(self, name: str, config: StackConfig) -> None:
        self.name = name
        self.config = config

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return self.config.ports[self.name]

    @property
    def url(self) -> str:
        """The address, without a password."""
        return self.config.url(self.name)

    @property
    def log(self) -> Path:
        """The file that its output goes to."""
        return self.config.directory / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The process id, if the service runs."""
        leader = self._leader()
        return leader.pid if leader is not None else None

    def start(self, *, wait: bool = True, timeout: float = _START_TIMEOUT) -> None:
        """Start the service if it does not run.

        Args:
            wait: Return when it is healthy, not when it is started.
            timeout: Seconds that it may take to become healthy.

        Raises:
            PortTaken: Another program listens on its port.
            ServiceFailed: It died, or is not healthy in time.
        """
        if self._leader() is None:
            self.kill()  # what a dead leader may have left on our port
            if not is_free(self.port):
                raise PortTaken(self.name, self.port)
            self._spawn()
        if wait:
            self.wait_healthy(timeout=timeout)

    def stop(self, *, timeout: float = _STOP_TIMEOUT) -> None:
        """Ask the service to end (SIGTERM), and kill what does not in time.

        Args:
            timeout: Seconds that it has.
        """
        if (leader := self._leader()) is not None:
            process_identity.send(leader, signal.SIGCONT)  # a paused one cannot obey
            # The leader alone: it ends its children in its own way.
            process_identity.send(leader, signal.SIGTERM, group=False)
            process_identity.wait_gone([leader], timeout)
        self.kill()

    def kill(self) -> None:
        """End every process of the service at once (SIGKILL)."""
        process_identity.kill_all(
            self._processes, seconds=_KILL_TIMEOUT, settle=self._wait_port_free
        )
        self._record.unlink(missing_ok=True)

    def pause(self) -> None:
        """Make the service hang (SIGSTOP): it keeps its port and answers nothing."""
        for process in self._processes():
            process_identity.send(process, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused service go on (SIGCONT)."""
        for process in self._processes():
            process_identity.send(process, signal.SIGCONT)

    def health(self, *, timeout: float = _PROBE_TIMEOUT) -> Health:
        """Ask the service how it is.

        Args:
            timeout: Seconds that its answer may take.
        """
        problem = ""
        pid = self.pid
        if pid is None:
            problem = "not running"
        else:
            try:
                probe(self.name, self.config, timeout=timeout)
            except NotHealthy as error:
                problem = str(error)
        return Health(self.name, self.url, pid, not problem, problem, str(self.log))

    def wait_healthy(self, *, timeout: float = _START_TIMEOUT) -> None:
        """Wait until the service answers as it should.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            ServiceFailed: It died, or does not in time.
        """
        deadline = time.monotonic() + timeout
        while not (health := self.health(timeout=_PROBE_TIMEOUT)).healthy:
            if health.pid is None:
                raise self._failure("ended by itself")
            if time.monotonic() >= deadline:
                raise self._failure(
                    f"is not healthy after {timeout:.0f} s ({health.problem})"
                )
            time.sleep(_POLL_INTERVAL)

    def _wait_port_free(self) -> None:
        # A process with threads looks dead when its first one is; the kernel closes
        # its sockets when the last one is.
        deadline = time.monotonic() + _KILL_TIMEOUT
        while not is_free(self.port) and time.monotonic() < deadline:
            time.sleep(_POLL_INTERVAL)

    @property
    def _record(self) -> Path:
        return self.config.directory / f"{self.name}.pid.json"

    def _leader(self) -> ProcessId | None:
        try:
            record = json.loads(self._record.read_text())
        except FileNotFoundError:
            return None
        leader = ProcessId(record["pid"], record["birth"])
        return leader if leader.is_alive() else None

    def _processes(self) -> list[ProcessId]:
        marked = process_identity.find_by_environment(token(self.name, self.config))
        leader = self._leader()
        return marked if leader is None or leader in marked else [leader, *marked]

    def _spawn(self) -> None:
        program = command(self.name, self.config)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                program.arguments,
                cwd=program.folder,
                env=program.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own session: Ctrl-C and the end of the terminal are not for it. It
                # leads a process group, too, which a signal reaches as a whole.
                start_new_session=True,
            )
        # Should we be killed before this is written, the token in its environment
        # still tells which service it is of.
        if (leader := process_identity.identify(process.pid)) is not None:
            record = {"pid": leader.pid, "birth": leader.start_time}
            write_whole(self._record, json.dumps(record).encode())
        # Whoever started it must collect it, or its process id lives on as a zombie.
        threading.Thread(
            target=process.wait, name=f"reap {self.name}", daemon=True
        ).start()

    def _failure(self, reason: str) -> ServiceFailed:
        return ServiceFailed(self.name, reason, log=self.log, tail=tail(self.log))
