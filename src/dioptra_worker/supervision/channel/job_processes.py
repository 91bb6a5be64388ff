"""Connections of the processes that a task has started, each for itself."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from dioptra_worker.protocol import codec

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.protocol.messages import BatchClaimReply, SessionReply

MAX_CONNECTIONS = 256
"""Processes and questions of a job that are connected at the same time; more wait."""
_BACKLOG = 128
_NUMBER_SHIFT = 32
MAX_REQUEST_ID = (1 << _NUMBER_SHIFT) - 1
"""The highest number that a process may give to a question."""


def request_id(process: int, number: int) -> int:
    """A question's number among those of all of a job's processes."""
    return process << _NUMBER_SHIFT | number


class JobProcesses:
    """The address where processes of a job find us, and who has come.

    Attributes:
        listener: The socket of the address, if there is one; never blocks.
        is_full: Whether no more may come until one has hung up.
    """

    def __init__(self, *, limit: int = MAX_CONNECTIONS) -> None:
        self._limit = limit
        self.listener: socket.socket | None = None
        self.is_full = False
        self._connections: dict[int, socket.socket] = {}
        self._last_number = 0
        self._is_closed = False
        self._lock = threading.Lock()

    def listen(self, path: Path, *, user: int | None = None) -> str:
        """Open an address, before the runner is told of it.

        Args:
            path: Where, in a folder of the job's.
            user: The number of the user that the job runs as; None for our own.

        Returns:
            The address; empty where there can be none, as with a path that is too long.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(str(path))
            if user is not None:
                os.chown(path, -1, user)
            path.chmod(0o600 if user is None else 0o660)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            return ""
        with self._lock:
            if self._is_closed:
                listener.close()
                return ""
            self.listener = listener
        return str(path)

    def accept(self) -> list[tuple[int, socket.socket]]:
        """Take those who wait, and tell them so; their numbers and sockets."""
        taken = []
        assert self.listener is not None
        while not self.is_full:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:  # there is nobody more
                break
            except OSError:  # there is no descriptor for them
                self.is_full = True
                break
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.send(codec.WELCOME)
            self._last_number += 1
            with self._lock:
                self._connections[self._last_number] = sock
            taken.append((self._last_number, sock))
            self.is_full = len(self._connections) >= self._limit
        return taken

    def answer(self, reply: SessionReply | BatchClaimReply) -> bool:
        """Send an answer to who has asked, from any thread.

        One that does not read it is hung up on.

        Returns:
            Whether it is one of these, and not the runner.
        """
        number = reply.request_id >> _NUMBER_SHIFT
        if not number:
            return False
        own = replace(reply, request_id=reply.request_id & MAX_REQUEST_ID)
        line = codec.encode(own)
        with self._lock:  # nobody may close it meanwhile
            if (sock := self._connections.get(number)) is not None:
                with contextlib.suppress(OSError):
                    if sock.send(line) < len(line):
                        sock.shutdown(socket.SHUT_RDWR)
        return True

    def hang_up(self, number: int) -> None:
        """Forget one that has hung up."""
        with self._lock:
            self._connections.pop(number).close()
            self.is_full = False

    def close(self) -> None:
        """Hang up on all of them."""
        with self._lock:
            self._is_closed = True
            for sock in self._connections.values():
                sock.close()
            self._connections.clear()
            if self.listener is not None:
                self.listener.close()
