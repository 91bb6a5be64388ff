"""The daemon's conversation with its fork server."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from dioptra_worker.errors import RunnerError
from dioptra_worker.supervision.runner_process import Exit, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.supervision.forkserver_start import Forkserver

log = logging.getLogger("dioptra_worker.launcher")

START_TIMEOUT = 120.0
"""Seconds for the fork server to import everything and hand out a process."""


class ForkserverClient:
    """One fork server and the thread that listens to it.

    Attributes:
        gone: Whether the fork server has ended.
        ready: Set when it hands out runners without delay, or is gone.
        served: Whether it ever did.
    """

    def __init__(
        self, forkserver: Forkserver, *, on_loss: Callable[[ForkserverClient], None]
    ) -> None:
        """Begin to listen.

        Args:
            forkserver: Whom to; the link owns it.
            on_loss: Called, in the listening thread, when it has ended unasked.
        """
        self._forkserver = forkserver
        self._on_loss = on_loss
        self._processes: dict[int, Process] = {}
        self._waiting: deque[_Reply] = deque()
        self._lock = threading.Lock()
        self.gone = False
        self.served = False
        self._closing = False
        self.ready = threading.Event()
        self._reader = threading.Thread(
            target=self._listen, name="dioptra-template", daemon=True
        )
        self._reader.start()

    @property
    def pid(self) -> int | None:
        """The fork server's process, if it is a child of ours."""
        return self._forkserver.pid

    def ask(self, request: Mapping[str, Any], descriptors: list[int]) -> Process:
        """Have a process made.

        Raises:
            RunnerError: If none was.
        """
        reply = _Reply()
        with self._lock:
            if self.gone:
                raise RunnerError("the fork server process has ended")
            self._waiting.append(reply)
        self.send(request, descriptors)
        if not reply.there.wait(START_TIMEOUT):
            self._forkserver.kill()  # it is stuck: the next request starts another
            raise RunnerError(
                f"the fork server gave no process within {START_TIMEOUT:g} seconds"
            )
        if reply.refused:
            raise RunnerError(f"no process could be started: {reply.refused}")
        if reply.process is None:
            raise RunnerError(
                "the fork server process ended before it gave a runner; its words are"
                " in the worker's own log"
            )
        return reply.process

    def send(self, request: Mapping[str, Any], descriptors: list[int]) -> None:
        """Tell the fork server something; one that is gone is no error here."""
        line = json.dumps(request).encode() + b"\n"
        with contextlib.suppress(OSError):  # the listener notices that it is gone
            if descriptors:
                socket.send_fds(self._forkserver.sock, [line], descriptors)
            else:
                self._forkserver.sock.sendall(line)

    def close(self, *, wait: float) -> None:
        """Hang up, and wait until the fork server has ended its runners."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._forkserver.sock.shutdown(socket.SHUT_WR)
        self._reader.join(wait)
        if self._reader.is_alive():
            self._forkserver.kill()
            self._reader.join()
        self._forkserver.wait()
        self._forkserver.sock.close()

    def _listen(self) -> None:
        try:
            self._hear()
        finally:
            self._note_end()

    def _hear(self) -> None:
        buffer = b""
        with contextlib.suppress(OSError):
            while data := self._forkserver.sock.recv(1 << 16):
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
        if not self._closing:
            self._on_loss(self)

    def _take(self, report: Mapping[str, Any]) -> None:
        if "ready" in report:
            self.served = True
            self.ready.set()
            log.debug("the fork server is ready: %s", report)
            if report["why"]:
                log.warning(
                    "runners are not forked but started beforehand, since %s; see"
                    " DIOPTRA_WORKER_PRELOAD",
                    report["why"],
                )
        elif "started" in report:
            process = Process(report["started"])
            with self._lock:
                self._processes[process.pid] = process
                reply = self._waiting.popleft()
            reply.process = process
            reply.there.set()
        elif "refused" in report:
            with self._lock:
                reply = self._waiting.popleft()
            reply.refused = report["refused"]
            reply.there.set()
        else:
            with self._lock:
                process = self._processes.pop(report["ended"])
            code = os.waitstatus_to_exitcode(report["status"])
            process.end(Exit(code=code, peak=report["peak"]))


class _Reply:
    """A place for the fork server's answer to one request."""

    def __init__(self) -> None:
        self.there = threading.Event()
        self.process: Process | None = None
        self.refused = ""
