"""How a process that a task has started speaks to the worker: by its own connections.

The task's own socket belongs to one process. Whoever the task forks or spawns connects
to the job's address instead: once for all that it says, and once for each question. So
nobody waits for the task, and lines of several processes do not get into each other.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import weakref
from time import monotonic, sleep  # bound here: plugin code may replace them
from typing import TYPE_CHECKING

from dioptra_worker.errors import RunnerError
from dioptra_worker.protocol import codec
from dioptra_worker.protocol.job_variables import STREAMS
from dioptra_worker.protocol.messages import Log, Output
from dioptra_worker.sdk.worker.link import Reply, WorkerLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.protocol.messages import Message, RunnerMessage

CONNECT_TIMEOUT = 5.0
"""Seconds for the worker to take a connection; it takes so many at the same time."""
RETRY_INTERVAL = 10.0
"""Seconds after which it is tried again."""
_POLL_INTERVAL = 0.02
_READ_SIZE = 1 << 16


_links: weakref.WeakSet[ChildLink] = weakref.WeakSet()


class ChildLink(WorkerLink):
    """One process's way to the worker; any thread may use it."""

    def __init__(
        self, address: str, *, connect_timeout: float = CONNECT_TIMEOUT
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            address: Where the worker waits for the job's processes; empty if nowhere.
            connect_timeout: Seconds for it to take a connection.
        """
        self._address = address
        self._connect_timeout = connect_timeout
        self._sock: socket.socket | None = None
        self._become_own()
        _links.add(self)

    def _become_own(self) -> None:
        """Begin anew in this process, which may be a fork of another one's."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._retry_at = 0.0
        self._close()

    def send(self, message: RunnerMessage) -> None:
        """Tell the worker something; what is text goes to a pipe if need be.

        Raises:
            RunnerError: The worker cannot be told, and it is no text.
        """
        if self._pid != os.getpid():  # forked where Python did not see it
            self._become_own()
        line = codec.encode_at(message)
        with self._lock:
            if self._send(line):
                return
        if isinstance(message, Log):
            _write(2, message.message + "\n")
        elif isinstance(message, Output):
            _write(STREAMS[message.stream], message.text)
        else:
            raise RunnerError(
                f"a process of the job cannot tell the worker its"
                f" {type(message).__name__.lower()}, since there is no connection"
            )

    def ask(
        self, request: Callable[[int], Message], timeout: float | None = None
    ) -> Reply | None:
        """Ask for something, by a connection that is for this question alone.

        Raises:
            RunnerError: There is no connection to the worker.
        """
        until = None if timeout is None else monotonic() + timeout
        try:
            with self._connect() as sock:
                sock.sendall(codec.encode_at(request(1)))
                line = b""
                while b"\n" not in line:
                    if until is not None:
                        sock.settimeout(max(0.001, until - monotonic()))
                    if not (data := sock.recv(_READ_SIZE)):
                        return None
                    line += data
        except TimeoutError:
            return None
        except OSError as error:
            raise RunnerError(
                f"a process of the job cannot ask the worker for anything: {error}"
            ) from error
        reply = codec.decode(line.partition(b"\n")[0])
        assert isinstance(reply, Reply)
        return reply

    def _close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            with contextlib.suppress(OSError):  # a task may have closed it
                sock.close()

    def _send(self, line: bytes) -> bool:
        """Send a line by the connection, or by a new one; whether that was done."""
        # One that is there may have been closed from within this process.
        for is_new in (self._sock is None, True):
            if is_new and monotonic() < self._retry_at:
                return False
            try:
                if self._sock is None:
                    self._sock = self._connect()
                self._sock.sendall(line)
            except OSError:
                self._close()
                if is_new:
                    self._retry_at = monotonic() + RETRY_INTERVAL
                    return False
            except BaseException:  # in the midst of a line, which nobody ends any more
                self._close()
                raise
            else:
                return True
        return False

    def _connect(self) -> socket.socket:
        """A connection that the worker has taken.

        Raises:
            OSError: There is none.
        """
        if not self._address:
            raise FileNotFoundError("the worker has no address for them")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._await_welcome(sock)
        except BaseException:
            sock.close()
            raise
        return sock

    def _await_welcome(self, sock: socket.socket) -> None:
        until = monotonic() + self._connect_timeout
        sock.settimeout(self._connect_timeout)
        while True:
            try:
                sock.connect(self._address)
                break
            except BlockingIOError:  # so many wait to be taken
                if monotonic() > until:
                    raise
                sleep(_POLL_INTERVAL)
        if sock.recv(1) != codec.WELCOME:
            raise ConnectionRefusedError("the worker takes no connection any more")
        sock.settimeout(None)


def _write(descriptor: int, text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]


def _after_fork() -> None:
    """Have no two processes speak by one connection."""
    for link in list(_links):
        link._become_own()  # noqa: SLF001 - nobody else may


os.register_at_fork(after_in_child=_after_fork)
