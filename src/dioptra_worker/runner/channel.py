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
from functools import partial
from typing import TYPE_CHECKING

from dioptra_worker.errors import RunnerError
from dioptra_worker.protocol import codec
from dioptra_worker.protocol.messages import (
    BatchClaimReply,
    BatchClaimRequest,
    BatchElementState,
    Message,
    Plan,
    SessionReply,
    SessionRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Reply = SessionReply | BatchClaimReply

_READ_SIZE = 1 << 16
_HIGH_DESCRIPTOR = 200
"""Where code that closes low descriptors does not meet ours; 256 is macOS's limit."""


class Channel:
    """One runner's conversation with the daemon; any thread may speak.

    A thread of its own reads, so that it notices when the daemon is gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_disconnect: Callable[[], None],
        on_socket_closed: Callable[[], None],
    ) -> None:
        """Start to read.

        Args:
            sock: A connected stream socket; the channel owns it.
            on_disconnect: Called, in the reading thread, when the daemon is gone.
            on_socket_closed: Called when user code has closed our socket.
        """
        self._sock = sock
        self._on_disconnect = on_disconnect
        self._on_socket_closed = on_socket_closed
        self._pid = os.getpid()
        self._send_lock = threading.Lock()
        self._is_line_open = False
        # In a child that user code forks, no thread is there to release the lock.
        os.register_at_fork(after_in_child=partial(_renew_lock, weakref.ref(self)))
        self._plan: queue.SimpleQueue[Plan | None] = queue.SimpleQueue()
        self._replies: dict[int, queue.SimpleQueue[Reply | None]] = {}
        self._request_ids = itertools.count(1)
        self._reader = threading.Thread(
            target=self._read, name="dioptra-channel", daemon=True
        )
        self._reader.start()

    def send(self, message: Message) -> None:
        """Tell the daemon something; waits while the daemon is busy.

        A daemon that is gone is no error here: the reading thread sees to the end.
        """
        line = codec.encode(message)
        try:
            # The lock keeps the lines of several threads apart. The main thread can
            # leave it half-way: SIGTERM raises `JobStopped` in the midst of `sendall`.
            # The next message then closes that line first, so that only one is lost.
            with self._send_lock:
                if self._is_line_open:
                    line = b"\n" + line
                self._is_line_open = True
                self._sock.sendall(line)
                self._is_line_open = False
        except OSError as error:
            closed = error.errno in {errno.EBADF, errno.ENOTSOCK}
            # Not in a process that user code has forked, which may close what it likes.
            if closed and os.getpid() == self._pid:
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

    def session(self, *, renew: bool, timeout: float) -> SessionReply:
        """Ask the daemon for its session with the REST API.

        Args:
            renew: Whether the present one was refused.
            timeout: Seconds to wait for the reply.

        Raises:
            RunnerError: If no reply came in time or the daemon has no session.
        """
        reply = self._request(
            lambda n: SessionRequest(request_id=n, renew=renew), timeout
        )
        if not isinstance(reply, SessionReply):
            raise RunnerError(
                f"the worker gave no API session within {timeout:g} seconds"
            )
        if reply.error:
            raise RunnerError(f"the worker has no API session: {reply.error}")
        return reply

    def set_element_state(
        self,
        element: str,
        state: BatchElementState,
        *,
        error: str = "",
        last: bool = False,
    ) -> str:
        """Claim an element of a batch, or say what became of it.

        Waits as long as the daemon does; the job's time limit holds all the same.

        Returns:
            The outcome; see `BatchClaimReply`.

        Raises:
            RunnerError: If the daemon is gone.
        """
        reply = self._request(
            lambda n: BatchClaimRequest(
                request_id=n, element=element, state=state, error=error, last=last
            )
        )
        if not isinstance(reply, BatchClaimReply):
            raise RunnerError("the daemon went away before it answered")
        return reply.outcome

    def _request(
        self, request: Callable[[int], Message], timeout: float | None = None
    ) -> Reply | None:
        """The reply to a request; None if there is none in *timeout* seconds."""
        request_id = next(self._request_ids)
        replies: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        # Before it is sent: the reading thread drops a reply that nobody waits for.
        self._replies[request_id] = replies
        try:
            self.send(request(request_id))
            return replies.get(timeout=timeout)
        except queue.Empty:
            return None
        finally:
            del self._replies[request_id]

    def _read(self) -> None:
        """Read until the daemon is gone, and wake whoever still waits for it."""
        buffer = b""
        # What is no message of ours ends the job: it would wait for ever.
        with contextlib.suppress(OSError, ValueError):
            while chunk := self._sock.recv(_READ_SIZE):
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
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
    try:
        high = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    except OSError:
        return sock
    with sock:
        return socket.socket(fileno=high)


def _renew_lock(reference: weakref.ref[Channel]) -> None:
    """Give a child process a lock that nobody holds."""
    channel = reference()
    if channel is not None:
        channel._send_lock = threading.Lock()  # noqa: SLF001 - our own
