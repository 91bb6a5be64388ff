"""A connection that a test can hold up or cut: a service that hangs, or is away."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 16


class Switch:
    """Forwards connections to a service until told otherwise.

    Attributes:
        url: The service's address through the switch.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        self._upstream = (parts.hostname, parts.port or 80)
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        userinfo, at, _ = parts.netloc.rpartition("@")
        self.url = urlunsplit(parts._replace(netloc=f"{userinfo}{at}{host}:{port}"))
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Accept everything and answer nothing, as a host that hangs."""
        self._open.clear()

    def cut(self) -> None:
        """End all connections and refuse others, as a service that is away."""
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        """End it."""
        self._open.set()
        self.cut()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._upstream)
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            for here, there in ((client, server), (server, client)):
                threading.Thread(
                    target=self._forward, args=[here, there], daemon=True
                ).start()

    def _forward(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(_CHUNK_BYTES):
                self._open.wait()
                there.sendall(data)
            self._open.wait()
            there.shutdown(socket.SHUT_WR)


@contextmanager
def switch(upstream: str) -> Iterator[Switch]:
    """Forward connections to a service until the end of the block."""
    found = Switch(upstream)
    try:
        yield found
    finally:
        found.close()
