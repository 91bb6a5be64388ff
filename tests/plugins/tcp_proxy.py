"""A TCP proxy in front of a real service, for faults below its protocol.

``with tcp_proxy(port) as proxy:`` passes bytes on until told otherwise: `refuse` closes
the door and all connections, `hang` keeps them and passes nothing on, `slow` passes so
many bytes a second on, `fail` answers every command of Redis with an error, `pass_on`
is as at the start. With *tls* clients have to speak TLS to it.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 16
_PACED = 1 << 12
"""Bytes that are passed on at once when there is a rate."""
_TICK = 0.05
_COMMAND = re.compile(rb"(?:^|\r\n)\*\d+\r\n\$")
"""Where a command begins in what a client sends."""


class TcpProxy:
    """A running proxy.

    Attributes:
        target: The service's port, for connections from now on.
    """

    def __init__(
        self, port: int, tls: ssl.SSLContext | None = None, *, at: int = 0
    ) -> None:
        """Listen.

        Args:
            port: The real service's, on 127.0.0.1.
            tls: What clients have to speak.
            at: The proxy's own port; 0 is any that is free.
        """
        self.target = port
        self._tls = tls
        self._door = _listen(at)
        self.port: int = self._door.getsockname()[1]
        self._error: bytes | None = None
        self._passing = threading.Event()
        self._passing.set()
        self._open = threading.Event()
        self._open.set()
        self._closed = threading.Event()
        self._rate: float | None = None
        self._pace = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self.accepted = 0

    def pass_on(self) -> None:
        """Pass everything on, as at the start."""
        self._error = self._rate = None
        self._passing.set()
        if not self._open.is_set():
            self._door = _listen(self.port)
            self._open.set()

    def refuse(self) -> None:
        """Close all connections and accept none."""
        self._open.clear()
        self._door.close()
        self.drop()

    def hang(self) -> None:
        """Accept connections and keep those there are, and pass nothing on."""
        self._passing.clear()

    def slow(self, rate: float) -> None:
        """Pass on so many bytes a second, over all connections and both ways."""
        self._rate = rate

    def drop(self) -> None:
        """Close all connections; new ones are accepted."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def fail(self, words: str) -> None:
        """Answer every command of Redis with an error, on new connections, too.

        Args:
            words: Such as ``LOADING Redis is loading the dataset in memory``.
        """
        self._error = f"-{words}\r\n".encode()

    def serve(self) -> None:
        """Accept connections until `close`."""
        while not self._closed.is_set():
            if not self._open.wait(_TICK):
                continue
            try:
                connection, _ = self._door.accept()
            except TimeoutError:
                continue
            except OSError:  # closed by `refuse` just now
                self._closed.wait(_TICK)
                continue
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=[connection])
            self._threads.add(thread)
            thread.start()

    def close(self) -> None:
        """End, with all connections."""
        self._closed.set()
        self._passing.set()
        self.drop()
        for thread in list(self._threads):
            thread.join()
        self._door.close()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as closing:
            closing.callback(self._threads.discard, threading.current_thread())
            closing.enter_context(contextlib.suppress(OSError))
            closing.callback(client.close)
            if self._tls is not None:
                client.settimeout(30.0)
                client = self._tls.wrap_socket(client, server_side=True)
                closing.callback(client.close)
            server = socket.create_connection(("127.0.0.1", self.target))
            closing.callback(server.close)
            both = {client, server}
            self._connections |= both
            closing.callback(self._connections.difference_update, both)
            self._relay(client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while not self._closed.is_set():
                for key, _ in selector.select(_TICK):
                    source, target = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    data = _received(source)
                    while not self._passing.wait(_TICK):
                        if self._closed.is_set():
                            return
                    if not data:
                        return
                    error = self._error
                    if error is not None and source is client:
                        client.sendall(error * len(_COMMAND.findall(data)))
                    else:
                        self._send(target, data)

    def _send(self, target: socket.socket, data: bytes) -> None:
        """Pass on, no faster than is allowed now."""
        for begin in range(0, len(data), _PACED):
            piece = data[begin : begin + _PACED]
            if (rate := self._rate) is not None:
                with self._pace:
                    self._closed.wait(len(piece) / rate)
            target.sendall(piece)


@contextmanager
def tcp_proxy(
    port: int, tls: ssl.SSLContext | None = None, *, at: int = 0
) -> Iterator[TcpProxy]:
    """A proxy in front of a local port, until the end of the block; see `TcpProxy`."""
    proxy = TcpProxy(port, tls, at=at)
    thread = threading.Thread(target=proxy.serve, name="tcp-proxy")
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()


def _received(source: socket.socket) -> bytes:
    """What has arrived; of TLS, also what was read and is not yet taken."""
    data = source.recv(_CHUNK)
    while isinstance(source, ssl.SSLSocket) and source.pending():
        data += source.recv(_CHUNK)
    return data


def _listen(port: int) -> socket.socket:
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("127.0.0.1", port))
    door.listen(64)
    door.settimeout(_TICK)
    return door
