"""Whoever connects to the worker's ports: probes are answered, requests are plain.

The health port is open to the network, and the page to every user of this machine and
to every page that a browser shows.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.daemon.health.server import MAX_HEAD_BYTES, HealthServer
from dioptra_worker.daemon.health.state import HealthState
from dioptra_worker.tools.jobs.page.http import Answer
from dioptra_worker.tools.jobs.page.server import PageServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.jobs.page.http import Request

SLOW_CLIENTS = 40
LINE = b"X: " + b"y" * 1000 + b"\r\n"


@pytest.fixture(name="health_port")
def _health_port() -> Iterator[int]:
    health = HealthState()
    health.tick(within=600)
    server = HealthServer("127.0.0.1", 0, health)
    yield server.port
    server.close()


def _probe(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/livez")
        return connection.getresponse().status


@pytest.mark.parametrize(
    "begins",
    [b"", b"GET /livez HTTP/1.1\r\n", b"GET /livez HTTP/1.1\r\nX: " + b"x" * 9000],
    ids=["nothing", "a line", "a header"],
)
def test_slow_clients_keep_no_probe_away(health_port: int, begins: bytes) -> None:
    """However many clients say half a request, each probe is answered at once."""
    with contextlib.ExitStack() as stack:
        for _ in range(SLOW_CLIENTS):
            slow = stack.enter_context(
                socket.create_connection(("127.0.0.1", health_port), timeout=5)
            )
            slow.sendall(begins)
        began = time.monotonic()
        assert [_probe(health_port) for _ in range(5)] == [200] * 5
        assert time.monotonic() - began < 4  # less than any of them has


def test_clients_that_come_back_keep_no_probe_away(health_port: int) -> None:
    """Clients that connect anew as soon as they are hung up on do not either."""
    over = threading.Event()

    def come_back() -> None:
        while not over.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", health_port), 5) as slow,
            ):
                slow.settimeout(0.2)
                slow.sendall(b"GET /livez HTTP/1.1\r\n")
                slow.recv(1)

    threads = [threading.Thread(target=come_back) for _ in range(12)]
    for thread in threads:
        thread.start()
    try:
        answered = []
        for _ in range(5):
            with contextlib.suppress(OSError, http.client.HTTPException):
                answered.append(_probe(health_port))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert 200 in answered


def test_a_request_without_end(health_port: int) -> None:
    """A request's line and headers have a size together."""
    with socket.create_connection(("127.0.0.1", health_port), timeout=5) as client:
        began = time.monotonic()
        assert len(LINE * 50) > MAX_HEAD_BYTES
        client.sendall(b"GET /livez HTTP/1.1\r\n" + LINE * 50)
        with contextlib.suppress(ConnectionError):
            assert client.recv(1) == b""
    assert time.monotonic() - began < 3
    assert _probe(health_port) == 200


class _Routes:
    """Notes what gets as far as a page."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def answer(self, request: Request) -> Answer:
        self.seen.append(f"{request.method} {request.path}")
        return Answer(body=b"page")


@pytest.fixture(name="routes")
def _routes() -> _Routes:
    return _Routes()


@pytest.fixture(name="page")
def _page(routes: _Routes, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A page whose user is let in by a cookie that is known beforehand."""
    monkeypatch.setattr(PageServer, "cookie", "let-in")
    server = PageServer(routes, "127.0.0.1", 0)  # type: ignore[arg-type]
    server.secret = "secret"
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()
    thread.join()


COOKIE = "let-in=secret"
HOST = b"Host: localhost\r\nCookie: %s\r\n" % COOKIE.encode()
SMUGGLED = b"POST /evil HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)
REQUESTS = {
    "a body on GET": b"GET / HTTP/1.1\r\n" + HOST + LENGTH,
    "a body on HEAD": b"HEAD / HTTP/1.1\r\n" + HOST + LENGTH,
    "a method that is none of ours": b"PUT / HTTP/1.1\r\n" + HOST + LENGTH,
    "an odd digit": b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: \xb2\r\n",
    "an odd digit on POST": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: \xb2\r\n",
    "a sign": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +0\r\n",
    "below zero": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n",
    "a low line": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1_0\r\n",
    "no number": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length:\r\n",
    "far too long": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 999999999999\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + HOST + LENGTH + b"Content-Length: 0\r\n",
    "a list of lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0, 0\r\n",
    "chunks": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n",
    "chunks and a length": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: x\r\nContent-Length: 0\r\n"
    ),
    "a space in a name": b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length : 5\r\n",
    "a line that is no header": b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length\r\n",
    "another server's address": b"GET http://evil.example/ HTTP/1.1\r\n" + HOST,
    "no path": b"GET * HTTP/1.1\r\n" + HOST,
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n",
    "a long line": b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n" + HOST,
    "a long header": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 70_000 + b"\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 200,
}


@pytest.mark.parametrize("start", REQUESTS.values(), ids=REQUESTS)
def test_no_request_in_another(page: int, routes: _Routes, start: bytes) -> None:
    """What two readers could read in two ways is refused, and the connection ends."""
    with socket.create_connection(("127.0.0.1", page), timeout=5) as client:
        with contextlib.suppress(OSError):
            client.sendall(start + b"\r\n" + SMUGGLED)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while data := client.recv(65536):
                answer += data
    assert routes.seen == []
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b" 200 " not in answer.partition(b"\r\n")[0]


def test_honest_requests_share_a_connection(page: int, routes: _Routes) -> None:
    """What browsers send is answered, one request after another."""
    connection = http.client.HTTPConnection("localhost", page, timeout=5)
    with contextlib.closing(connection):
        for method, body in (("GET", None), ("POST", "a=b"), ("HEAD", None)):
            connection.request(method, "/", body, {"Cookie": COOKIE})
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
    assert routes.seen == ["GET /", "POST /", "GET /"]
