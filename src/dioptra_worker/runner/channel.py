"""The runner's end of the socket to the daemon: messages out, plan and replies in."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import queue
import socket
import threading
import weakref
from typing import TYPE_CHECKING

from dioptra_worker.errors import RunnerError
from dioptra_worker.protocol import codec
from dioptra_worker.protocol.messages import Message, Plan, RunnerMessage
from dioptra_worker.sdk.worker.child_link import ChildLink
from dioptra_worker.sdk.worker.link import Reply, WorkerLink
from dioptra_worker.supervision.channel.line_splitter import LineSplitter

if TYPE_CHECKING:
    from collections.abc import Callable

_READ_SIZE = 1 << 16
_HIGH_DESCRIPTOR = 200
"""Where code that closes low descriptors does not meet ours; 256 is macOS's limit."""


class Channel(WorkerLink):
    """One runner's conversation with the daemon; any thread may speak.

    A thread of its own reads, so that it notices when the daemon is gone. The socket is
    one process's alone: one that is forked from it has a `ChildLink` instead.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_disconnect: Callable[[], None],
        on_socket_closed: Callable[[], None],
        address: str = "",
    ) -> None:
        """Start to read.

        Args:
            sock: A connected stream socket; the channel owns it.
            on_disconnect: Called, in the reading thread, when the daemon is gone.
            on_socket_closed: Called when user code has closed our socket.
            address: Where processes that a task forks find the daemon.
        """
        self._sock = sock
        self._on_disconnect = on_disconnect
        self._on_socket_closed = on_socket_closed
        self._pid = os.getpid()
        self._link = ChildLink(address)
        self._send_lock = threading.Lock()
        self._is_line_open = False
        _close_in_children(weakref.ref(sock))
        self._plan: queue.SimpleQueue[Plan | None] = queue.SimpleQueue()
        self._replies: dict[int, queue.SimpleQueue[Reply | None]] = {}
        self._request_ids = itertools.count(1)
        self._reader = threading.Thread(
            target=self._read, name="dioptra-channel", daemon=True
        )
        self._reader.start()

    def send(self, message: RunnerMessage) -> None:
        """Tell the daemon something; waits while the daemon is busy.

        A daemon that is gone is no error here: the reading thread sees to the end.

        Raises:
            RunnerError: In a process that a task has forked, the daemon cannot be told
                something that is no text.
        """
        if os.getpid() != self._pid:
            self._link.send(message)
        else:
            self._send(message)

    def _send(self, message: Message) -> None:
        line = codec.encode_at(message)
        try:
            # The lock keeps the lines of several threads apart. One can leave it
            # half-way: SIGTERM raises `JobStopped` in the midst of `sendall`. The next
            # message then closes that line first, so that only one is lost.
            with self._send_lock:
                if self._is_line_open:
                    line = b"\n" + line
                self._is_line_open = True
                self._sock.sendall(line)
                self._is_line_open = False
        except OSError as error:
            if error.errno in {errno.EBADF, errno.ENOTSOCK}:
                self._on_socket_closed()

    def plan(self) -> Plan:
        """Wait for the plan.

        Raises:
            RunnerError: If the daemon went away before it sent one.
        """
        plan = self._plan.get()
        if plan is None:
            raise RunnerError("the daemon went away before it sent a plan")
        return plan

    def ask(
        self, request: Callable[[int], Message], timeout: float | None = None
    ) -> Reply | None:
        """Ask the daemon for something."""
        if os.getpid() != self._pid:
            return self._link.ask(request, timeout)
        request_id = next(self._request_ids)
        replies: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        # Before it is sent: the reading thread drops a reply that nobody waits for.
        self._replies[request_id] = replies
        try:
            self._send(request(request_id))
            return replies.get(timeout=timeout)
        except queue.Empty:
            return None
        finally:
            del self._replies[request_id]

    def _read(self) -> None:
        """Read until the daemon is gone, and wake whoever still waits for it."""
        splitter = LineSplitter(limit=None)  # a plan may be long
        # What is no message of ours ends the job: it would wait for ever.
        with contextlib.suppress(OSError, ValueError):
            while chunk := self._sock.recv(_READ_SIZE):
                for line in splitter.feed(chunk):
                    self._receive(codec.decode(line))
        self._plan.put(None)
        for replies in list(self._replies.values()):  # others add and remove theirs
            replies.put(None)
        self._on_disconnect()

    def _receive(self, message: Message) -> None:
        if isinstance(message, Plan):
            self._plan.put(message)
        elif isinstance(message, Reply):
            replies = self._replies.get(message.request_id)
            if replies is not None:
                replies.put(message)


def move_to_high_descriptor(sock: socket.socket) -> socket.socket:
    """Move a socket to a high descriptor, if there may be one.

    Args:
        sock: The socket, which is closed if it was moved.
    """
    high = _duplicate_high(sock.fileno())
    if high is None:
        return sock
    with sock:
        return socket.socket(fileno=high)


def _duplicate_high(descriptor: int) -> int | None:
    """Duplicate a descriptor to a high one; None if there may be none."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    except OSError:
        return None


def _close_in_children(reference: weakref.ref[socket.socket]) -> None:
    """Have no child of this process keep its socket."""

    def close() -> None:
        if (sock := reference()) is not None:
            with contextlib.suppress(OSError):  # a task may have closed it
                sock.close()

    os.register_at_fork(after_in_child=close)
