"""What a runner has yet to read: kept, within a limit, so that nobody waits for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

MAX_UNREAD_BYTES = 8 << 20
"""Bytes of answers that a job may leave unread; its plan may be longer."""


class UnreadMessages:
    """The outgoing half of a socket that nobody may have to wait for.

    Attributes:
        is_full: Whether something was not taken any more, as the limit was reached.
    """

    def __init__(self, sock: socket.socket, *, limit: int = MAX_UNREAD_BYTES) -> None:
        """Begin with nothing.

        Args:
            sock: A socket that does not block.
            limit: Bytes beyond which nothing is taken any more; one message that finds
                nothing before it is taken however long it is.
        """
        self._sock = sock
        self._limit = limit
        self._lock = threading.Lock()
        self._bytes = bytearray()
        self._wake: Callable[[], None] = lambda: None
        self._is_closed = False
        self.is_full = False

    def __len__(self) -> int:
        """How many bytes are unread, beyond what the system keeps."""
        return len(self._bytes)

    def on_waiting(self, wake: Callable[[], None]) -> None:
        """Have somebody called, from any thread, when there is something to `flush`."""
        self._wake = wake

    def put(self, line: bytes) -> None:
        """Send a message now or later, in one piece; from any thread, without delay."""
        with self._lock:
            if self._bytes and len(self._bytes) + len(line) > self._limit:
                self.is_full = True
            if not (self.is_full or self._is_closed):
                self._bytes += line
                self._send()
            is_waiting = bool(self._bytes)
        if is_waiting:
            self._wake()

    def flush(self) -> None:
        """Send as much as the socket takes."""
        with self._lock:
            self._send()

    def close(self) -> None:
        """Forget what is unread, and take nothing any more."""
        with self._lock:  # nobody may be sending when the socket's number is given away
            self._is_closed = True
            self._bytes.clear()

    def _send(self) -> None:
        try:
            while self._bytes:
                del self._bytes[: self._sock.send(self._bytes)]
        except BlockingIOError:
            pass
        except OSError:  # it is gone, and nobody reads this any more
            self._bytes.clear()
