"""The daemon's conversation with its fork server."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.process_identity import identify
from dioptra_worker.common.processes.resource_trackers import kill_group
from dioptra_worker.errors import ForkserverLost, RunnerError
from dioptra_worker.protocol import codec
from dioptra_worker.protocol.forkserver import (
    ForkserverReady,
    ImportBegun,
    LearningRefused,
    ProcessEnded,
    ProcessRefused,
    ProcessStarted,
)
from dioptra_worker.supervision.forkserver.runner_process import (
    ProcessExit,
    ProcessHandle,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.common.processes.process_identity import ProcessId
    from dioptra_worker.protocol.forkserver import (
        ForkserverReport,
        ForkserverRequest,
        PreloadedModule,
        ProcessRequest,
    )
    from dioptra_worker.supervision.forkserver.start import ForkserverHandle

log = logging.getLogger("dioptra_worker.launcher")

START_TIMEOUT = 120.0
"""Seconds for the fork server to import everything and hand out a process."""


class ForkserverClient:
    """One fork server, and the processes that it has made.

    Attributes:
        ended: Whether the fork server has ended.
        ready: Set when it hands out runners without delay, or has ended.
        was_ready: Whether it ever did.
        preloaded: What it has imported for runners beside our own, once it is ready.
        top_levels: The first parts of the names of all that it keeps for jobs.
        importing: What it imports, of one that has yet to show that it is fit.
        refused: Why it is not.
    """

    def __init__(
        self,
        forkserver: ForkserverHandle,
    ) -> None:
        """Prepare; somebody has to read its reports.

        Args:
            forkserver: The fork server; the client owns it.
        """
        self._forkserver = forkserver
        self._processes: dict[int, ProcessHandle] = {}
        self._pending: deque[_Reply] = deque()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self.ended = False
        self.was_ready = False
        self.preloaded: tuple[PreloadedModule, ...] = ()
        self.top_levels: frozenset[str] = frozenset()
        self.importing = ""
        self.refused: LearningRefused | None = None
        self._closing = False
        self.ready = threading.Event()
        self._is_over = threading.Event()
        self._process: ProcessId | None = None

    @property
    def pid(self) -> int | None:
        """The fork server's process, if it is a child of ours."""
        return self._forkserver.pid

    def request_process(
        self,
        request: ProcessRequest,
        descriptors: list[int],
        *,
        timeout: float = START_TIMEOUT,
    ) -> ProcessHandle:
        """Have a process made.

        Args:
            request: What process.
            descriptors: What it is given.
            timeout: Seconds that this may take; the fork server is ended then.

        Raises:
            ForkserverLost: If it has ended, so that another may be asked.
            RunnerError: If none was.
        """
        reply = _Reply()
        # Replies come in the order of the requests: the launcher sends one at a time.
        with self._lock:
            if self.ended:
                raise ForkserverLost("the fork server process has ended")
            self._pending.append(reply)
        self.send(request, descriptors)
        if not reply.arrived.wait(timeout):
            self._forkserver.kill()  # it is stuck: the next request starts another
            raise RunnerError(
                f"the fork server gave no process within {timeout:g} seconds"
            )
        if reply.refused:
            raise RunnerError(f"no process could be started: {reply.refused}")
        if reply.process is None:
            raise ForkserverLost(
                "the fork server process ended before it gave a runner; its words are"
                " in the worker's own log"
            )
        return reply.process

    def send(self, request: ForkserverRequest, descriptors: Sequence[int] = ()) -> None:
        """Send a request without waiting; one that has ended is no error here.

        A fork server that reads nothing, as a job may have stopped it, is ended: with
        it go its runners, and the next one is started when it is needed.
        """
        if self.end_if_stopped():
            return
        line = codec.encode(request)
        try:
            with self._sending:
                sent = _send_now(self._forkserver.sock, line, descriptors)
        except BlockingIOError:
            sent = 0
        except OSError:  # the reading thread notices its end
            return
        if sent < len(line):
            log.error("the fork server reads nothing any more, and is ended")
            self._forkserver.kill()

    def end_if_stopped(self) -> bool:
        """End it if a signal has stopped it: it would not do what it is asked.

        Returns:
            Whether it was stopped.
        """
        if self._process is None or not self._process.is_stopped():
            return False
        log.error("the fork server is stopped, as a job can do, and is ended")
        self._forkserver.kill()
        return True

    def close(self, *, wait: float) -> None:
        """Hang up, and wait until the fork server has ended its runners."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._forkserver.sock.shutdown(socket.SHUT_WR)
        if not self._is_over.wait(wait):
            self.kill()
            self._is_over.wait()
        self._forkserver.wait()
        self._forkserver.sock.close()

    def running(self) -> list[ProcessHandle]:
        """Its processes that have not ended."""
        with self._lock:
            return list(self._processes.values())

    def has_made(self, process: ProcessHandle) -> bool:
        """Whether a process is one of its, and has not ended."""
        with self._lock:
            return self._processes.get(process.pid) is process

    def kill(self) -> None:
        """End it at once: whoever waits for a process of it learns that."""
        self._forkserver.kill()

    def read_reports(self) -> None:
        """Read what it reports until it has ended; in a thread of its own."""
        try:
            self._read()
        finally:
            self._handle_end()
            self._is_over.set()

    def _read(self) -> None:
        buffer = b""
        with contextlib.suppress(OSError):
            while data := self._forkserver.sock.recv(1 << 16):
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    self._handle(codec.decode_report(line))

    def _handle_end(self) -> None:
        """Release who waits, and kill the runners: nobody else sees their end now."""
        with self._lock:
            self.ended = True
            pending, processes = list(self._pending), list(self._processes.values())
        self.ready.set()
        for reply in pending:
            reply.arrived.set()
        for process in processes:
            if not self._closing:  # it was killed, and can end nothing any more
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill_group(process.pid)
            process.set_exit(ProcessExit(code=None, peak=None))

    def _handle(self, report: ForkserverReport) -> None:
        match report:
            case ImportBegun(module=module):
                self.importing = module
            case LearningRefused():
                self.refused = report
            case ForkserverReady(pid=pid, why=why, preloaded=preloaded):
                self.preloaded = preloaded
                self.top_levels = frozenset(report.top_levels)
                self._process = identify(pid)
                if self._process is not None:
                    self._forkserver.recognise(self._process)
                self.was_ready = True
                self.ready.set()
                log.debug("the fork server is ready: %s", report)
                if why:
                    log.warning(
                        "runners are not forked but started beforehand, since %s; see"
                        " DIOPTRA_WORKER_PRELOAD",
                        why,
                    )
            case ProcessStarted(pid=pid):
                user = self._forkserver.user
                process = ProcessHandle(pid, None if user is None else user.uid)
                with self._lock:
                    self._processes[pid] = process
                    reply = self._pending.popleft()
                reply.process = process
                reply.arrived.set()
            case ProcessRefused(reason=reason):
                with self._lock:
                    reply = self._pending.popleft()
                reply.refused = reason
                reply.arrived.set()
            case ProcessEnded(pid=pid, status=status, peak=peak, removed=removed):
                with self._lock:
                    process = self._processes.pop(pid)
                code = os.waitstatus_to_exitcode(status)
                process.set_exit(ProcessExit(code=code, peak=peak, removed=removed))


def _send_now(sock: socket.socket, line: bytes, descriptors: Sequence[int]) -> int:
    """Send what the system takes without waiting; how many bytes that is."""
    if descriptors:
        return socket.send_fds(sock, [line], descriptors, socket.MSG_DONTWAIT)
    return sock.send(line, socket.MSG_DONTWAIT)


class _Reply:
    """A place for the fork server's answer to one request."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.process: ProcessHandle | None = None
        self.refused = ""
