"""A server that sends what no honest one would, byte by byte if it likes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_HEAD_BYTES = 1 << 16


class Conversation:
    """One connection, whose request has been read.

    Attributes:
        head: The request's line and headers.
        number: How many connections there were before this one.
    """

    def __init__(self, sock: socket.socket, over: threading.Event, number: int) -> None:
        self._sock = sock
        self._over = over
        self.number = number
        self.head = self._read_head()

    def _read_head(self) -> str:
        data = b""
        while b"\r\n\r\n" not in data and len(data) < MAX_HEAD_BYTES:
            more = self._sock.recv(4096)
            if not more:
                break
            data += more
        return data.decode("latin-1")

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._sock.sendall(data)

    def answer(
        self, body: bytes, *headers: str, status: str = "200 OK", length: bool = True
    ) -> None:
        """Send an answer in one piece."""
        lines = [f"HTTP/1.1 {status}", *headers, "Connection: close"]
        if length:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def drip(self, data: bytes = b"x", *, pause: float = 0.05) -> None:
        """Send the same bytes again and again, until the other side has gone."""
        while not self._over.wait(pause):
            self.send(data)

    def flood(self, data: bytes) -> None:
        """Send the same bytes for ever, as fast as they are taken."""
        while not self._over.is_set():
            self.send(data)


Act = Callable[[Conversation], object]
"""What is done with a connection."""


@contextmanager
def hostile_server(act: Act) -> Iterator[str]:
    """Answer every connection with *act* until the block ends; yields the address."""
    over = threading.Event()
    threads: list[threading.Thread] = []
    open_sockets: list[socket.socket] = []

    def serve(sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), sock:
            sock.settimeout(20)
            act(Conversation(sock, over, number))

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            open_sockets.append(sock)
            thread = threading.Thread(target=serve, args=[sock, len(threads)])
            threads.append(thread)
            thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for sock in open_sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
