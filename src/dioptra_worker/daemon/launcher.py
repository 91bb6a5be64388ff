"""The daemon's side of the template: asks for runners and hears how each one ended."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from dioptra_worker.errors import RunnerError
from dioptra_worker.tracking.backends import SERVER_MODULES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

log = logging.getLogger("dioptra_worker.launcher")

Mode = Literal["fork", "spawn"]
START_TIMEOUT = 120.0
"""Seconds for the template to import everything and hand out a process."""


@dataclass(frozen=True)
class Exit:
    """How a process ended.

    Attributes:
        code: The exit code, or minus the signal's number, or None when nobody saw.
        peak: Its peak resident memory in bytes, None when nobody saw.
    """

    code: int | None
    peak: int | None


@dataclass(eq=False)
class Process:
    """A process that the template has made.

    Attributes:
        pid: Its process id, also its group's.
        ended: Set when it has ended.
        exit: How, once it has.
    """

    pid: int
    ended: threading.Event = field(default_factory=threading.Event)
    exit: Exit | None = None
    _listeners: list[Callable[[], None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_end(self, listener: Callable[[], None]) -> None:
        """Call *listener* when the process ends, at once if it has already."""
        with self._lock:
            if not self.ended.is_set():
                self._listeners.append(listener)
                return
        listener()

    def end(self, how: Exit) -> None:
        """Note how it ended and tell who wants to know."""
        with self._lock:
            self.exit = how
            self.ended.set()
        for listener in self._listeners:
            listener()


@dataclass(frozen=True)
class Pipes:
    """The daemon's ends of what connects it to a runner.

    Attributes:
        control: The socket for messages.
        out: The descriptor of the runner's standard output.
        err: The descriptor of the runner's standard error.
    """

    control: socket.socket
    out: int
    err: int

    def close(self) -> None:
        """Close all three; whoever still sends is woken."""
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)
        self.control.close()
        for descriptor in (self.out, self.err):
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Launcher:
    """Starts the template when it is needed and talks to it; safe from any thread."""

    def __init__(
        self,
        *,
        mode: Mode,
        preload: tuple[str, ...],
        grace: float,
        environment: Mapping[str, str],
        tracking: tuple[str, ...] = SERVER_MODULES,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            mode: How runners are made.
            preload: Modules that the template imports beside our own.
            grace: Seconds that runners have to end when the daemon is gone.
            environment: What runners see; without the daemon's secrets.
            tracking: Modules that runners keep their run with, to be imported, too.
        """
        self._mode = mode
        self._preload = (*tracking, *preload)
        self._grace = grace
        self._environment = dict(environment)
        self._asking = threading.Lock()
        self._template: _Template | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the template if it is not running; it gets ready by itself."""
        with self._asking:
            self._running()

    def wait_until_ready(self, timeout: float) -> bool:
        """Wait until the template hands out runners without delay.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it does.
        """
        with self._asking:
            template = self._running()
        return template.ready.wait(timeout) and not template.gone

    def close(self) -> None:
        """Hang up; the template ends, and with it every runner."""
        with self._asking:
            if (template := self._template) is not None:
                # One that still imports has forked nobody yet, and does not listen.
                importing = self._mode == "fork" and not template.ready.is_set()
                template.close(wait=0.0 if importing else self._grace + 5.0)
                self._template = None

    def job(self) -> tuple[Process, Pipes]:
        """A fresh runner, and what connects us to it.

        Raises:
            RunnerError: If none could be started.
        """
        ours, theirs = socket.socketpair()
        out, out_there = os.pipe()
        err, err_there = os.pipe()
        pipes = Pipes(control=ours, out=out, err=err)
        try:
            descriptors = [theirs.fileno(), out_there, err_there]
            return self._ask({"do": "job"}, descriptors), pipes
        except BaseException:
            pipes.close()
            raise
        finally:
            theirs.close()
            os.close(out_there)
            os.close(err_there)

    def close_run(self, run_id: str, status: str, *, timeout: float) -> bool:
        """Close a dead runner's MLflow run in a process that ends at once.

        Args:
            run_id: The run.
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
            timeout: Seconds to wait for it.

        Returns:
            Whether the run is closed.
        """
        request = {"do": "close_run", "run_id": run_id, "status": status}
        try:
            process = self._ask(request, [])
        except RunnerError as error:
            log.warning("MLflow run %s is not closed: %s", run_id, error)
            return False
        if not process.ended.wait(timeout):
            self.signal(process, 9)
            process.ended.wait(5.0)
        return process.exit is not None and process.exit.code == 0

    def signal(self, process: Process, signum: int) -> None:
        """Signal a process and its group, unless it has ended."""
        template = self._template
        if template is not None and not process.ended.is_set():
            template.send({"do": "signal", "pid": process.pid, "signal": signum}, [])

    def _ask(self, request: Mapping[str, Any], descriptors: list[int]) -> Process:
        with self._asking:
            return self._running().ask(request, descriptors)

    def _running(self) -> _Template:
        if self._template is None or self._template.gone:
            if self._template is not None:
                log.warning("the template has ended unexpectedly; starting another")
                self._template.close(wait=1.0)
            try:
                self._template = _Template(
                    self._mode, self._preload, self._grace, self._environment
                )
            except OSError as error:
                raise RunnerError(f"no template can be started: {error}") from error
        return self._template


class _Template:
    """One template process and the thread that listens to it."""

    def __init__(
        self,
        mode: Mode,
        preload: tuple[str, ...],
        grace: float,
        environment: Mapping[str, str],
    ) -> None:
        self._processes: dict[int, Process] = {}
        self._waiting: deque[_Reply] = deque()
        self._lock = threading.Lock()
        self.gone = False
        self._closing = False
        self.ready = threading.Event()
        self._sock, theirs = socket.socketpair()
        options = ["--mode", mode, "--preload", ",".join(preload)]
        with theirs:
            self._child = subprocess.Popen(
                [
                    *(sys.executable, "-m", "dioptra_worker.runner.template"),
                    *("--fd", str(theirs.fileno()), "--grace", str(grace)),
                    *options,
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=dict(environment),
                start_new_session=True,
            )
        self._reader = threading.Thread(
            target=self._listen, name="dioptra-template", daemon=True
        )
        self._reader.start()

    def ask(self, request: Mapping[str, Any], descriptors: list[int]) -> Process:
        reply = _Reply()
        with self._lock:
            if self.gone:
                raise RunnerError("the template process has ended")
            self._waiting.append(reply)
        self.send(request, descriptors)
        if not reply.there.wait(START_TIMEOUT):
            self._child.kill()  # it is stuck: the next request starts another
            raise RunnerError(
                f"the template gave no process within {START_TIMEOUT:g} seconds"
            )
        if reply.process is None:
            raise RunnerError(
                "the template process ended before it gave a runner; its words are"
                " in the worker's own log"
            )
        return reply.process

    def send(self, request: Mapping[str, Any], descriptors: list[int]) -> None:
        line = json.dumps(request).encode() + b"\n"
        with contextlib.suppress(OSError):  # the listener notices that it is gone
            if descriptors:
                socket.send_fds(self._sock, [line], descriptors)
            else:
                self._sock.sendall(line)

    def close(self, *, wait: float) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        try:
            self._child.wait(wait)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._reader.join()
        self._sock.close()

    def _listen(self) -> None:
        try:
            self._hear()
        finally:
            self._note_end()

    def _hear(self) -> None:
        buffer = b""
        with contextlib.suppress(OSError):
            while data := self._sock.recv(1 << 16):
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))

    def _note_end(self) -> None:
        with self._lock:
            self.gone = True
            waiting, processes = list(self._waiting), list(self._processes.values())
        self.ready.set()
        for reply in waiting:
            reply.there.set()
        for process in processes:
            if not self._closing:  # it was killed, and can end nothing any more
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.end(Exit(code=None, peak=None))

    def _take(self, report: Mapping[str, Any]) -> None:
        if "ready" in report:
            self.ready.set()
            log.debug("the template is ready: %s", report)
        elif "started" in report:
            process = Process(report["started"])
            with self._lock:
                self._processes[process.pid] = process
                reply = self._waiting.popleft()
            reply.process = process
            reply.there.set()
        else:
            with self._lock:
                process = self._processes.pop(report["ended"])
            code = os.waitstatus_to_exitcode(report["status"])
            process.end(Exit(code=code, peak=report["peak"]))


class _Reply:
    """A place for the template's answer to one request."""

    def __init__(self) -> None:
        self.there = threading.Event()
        self.process: Process | None = None


def choose_mode(isolation: str) -> Mode:
    """The way to make runners that the platform allows.

    Args:
        isolation: ``fork``, ``spawn`` or ``auto``: fork on Linux, where a process
            that has imported much may be forked, and spawn elsewhere.
    """
    if isolation == "fork" or (isolation == "auto" and sys.platform == "linux"):
        return "fork"
    return "spawn"
