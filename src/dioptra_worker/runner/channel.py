"""The runner's end of the socket to the daemon: messages out, plan and replies in."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import mmap
import os
import queue
import socket
import tempfile
import threading
import weakref
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
from dioptra_worker.supervision.channel.line_splitter import LineSplitter

if TYPE_CHECKING:
    from collections.abc import Callable

Reply = SessionReply | BatchClaimReply

FORK_TIMEOUT = 5.0
"""Seconds that a fork in a task waits for a message that is being sent."""
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
        fork_timeout: float = FORK_TIMEOUT,
    ) -> None:
        """Start to read.

        Args:
            sock: A connected stream socket; the channel owns it.
            on_disconnect: Called, in the reading thread, when the daemon is gone.
            on_socket_closed: Called when user code has closed our socket.
            fork_timeout: Seconds that a fork waits for a message that is being sent.
        """
        self._sock = sock
        self._on_disconnect = on_disconnect
        self._on_socket_closed = on_socket_closed
        self._pid = os.getpid()
        self._send_lock = threading.Lock()
        self._processes = _ProcessLock()
        _share_with_children(weakref.ref(self), timeout=fork_timeout)
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
            # The locks keep the lines of several threads and processes apart. One can
            # leave them half-way: SIGTERM raises `JobStopped` in the midst of
            # `sendall`, and a child can be killed there. The next message then closes
            # that line first, so that only one is lost.
            with self._send_lock, self._processes:
                if self._processes.is_line_open:
                    line = b"\n" + line
                self._processes.is_line_open = True
                self._sock.sendall(line)
                self._processes.is_line_open = False
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
        """The reply to a request; None if there is none in *timeout* seconds.

        Raises:
            RunnerError: In a process that a task has forked: nobody reads there.
        """
        if os.getpid() != self._pid:
            raise RunnerError(
                "a process that a task has forked cannot ask the worker for anything:"
                " ask before it is forked, or in the task itself"
            )
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


class _ProcessLock:
    """Keeps apart what this process and those forked from it send.

    Only one that has been forked from costs anything: a lock on a file, which the
    system gives to one process at a time and takes back from one that dies.

    Attributes:
        is_line_open: Whether somebody has begun a line and not ended it; shared.
    """

    def __init__(self) -> None:
        self.is_shared = False
        self._line_open = mmap.mmap(-1, 1)
        self._file: int | None = None
        with contextlib.suppress(OSError):  # without a folder for it, there is none
            self._file = _lock_file()
            weakref.finalize(self, _close_quietly, self._file)

    @property
    def is_line_open(self) -> bool:
        return self._line_open[0] != 0

    @is_line_open.setter
    def is_line_open(self, value: bool) -> None:
        self._line_open[0] = value

    def __enter__(self) -> None:
        self._lock(fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._lock(fcntl.LOCK_UN)

    def _lock(self, operation: int) -> None:
        if self.is_shared and self._file is not None:
            with contextlib.suppress(OSError):  # a task closes what is not its own
                fcntl.lockf(self._file, operation)


def _lock_file() -> int:
    """A file without a name, out of reach of code that closes low descriptors."""
    with tempfile.TemporaryFile() as file:
        high = _duplicate_high(file.fileno())
        return os.dup(file.fileno()) if high is None else high


def _close_quietly(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # a task may have closed it
        os.close(descriptor)


def _share_with_children(reference: weakref.ref[Channel], *, timeout: float) -> None:
    """Prepare a channel for each fork, so that parent and child can both send."""
    forking = threading.local()

    def before() -> None:
        forking.has_lock = False
        if (channel := reference()) is not None:
            # Nobody may be in the midst of a line: the child would see it begun.
            # Whoever cannot end it in time has it closed by the next.
            forking.has_lock = channel._send_lock.acquire(timeout=timeout)  # noqa: SLF001
            channel._processes.is_shared = True  # noqa: SLF001

    def after_in_parent() -> None:
        if (channel := reference()) is not None and forking.has_lock:
            channel._send_lock.release()  # noqa: SLF001

    def after_in_child() -> None:
        if (channel := reference()) is not None:  # no thread is there to release it
            channel._send_lock = threading.Lock()  # noqa: SLF001

    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )
