"""An HTTP proxy in front of a real service that breaks some of its calls.

``with fault_proxy(url) as proxy:`` forwards everything; a `Rule` says which calls go
wrong, how often, and how::

    rule = proxy.add(Rule("PUT", r"/status$", answer(503, retry_after=1), times=2))
    ...
    assert rule.hits == 2

The first rule that fits and is not used up decides.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_UPSTREAM_SECONDS = 120.0
_ABORT = struct.pack("ii", 1, 0)
"""Linger of a socket whose close tells the other side with a reset."""

HTML = b"<html><head><title>Maintenance</title></head><body>Back soon</body></html>"


@dataclass(frozen=True)
class Answered:
    """What the service answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class Exchange:
    """One request under way."""

    handler: _Handler
    body: bytes

    def forward(self) -> Answered:
        """Have the service answer."""
        handler = self.handler
        upstream = handler.proxy.upstream
        connection = http.client.HTTPConnection(
            upstream.hostname or "", upstream.port, timeout=_UPSTREAM_SECONDS
        )
        try:
            headers = {
                name: value
                for name, value in handler.headers.items()
                if name.lower() not in {"connection", "transfer-encoding"}
            }
            connection.request(handler.command, handler.path, self.body, headers)
            answer = connection.getresponse()
            return Answered(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def reply(self, answered: Answered, *, cut: int = 0) -> None:
        """Answer the client.

        Args:
            answered: With what.
            cut: Bytes of the body's end that are promised and never sent.
        """
        handler = self.handler
        handler.send_response(answered.status)
        for name, value in answered.headers:
            if name.lower() not in _HOP_BY_HOP:
                handler.send_header(name, value)
        length = str(len(answered.body))
        if handler.command == "HEAD":  # that of what a GET would give
            length = dict(answered.headers).get("Content-Length", "0")
        handler.send_header("Content-Length", length)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answered.body[: len(answered.body) - cut])

    def drop(self, *, abort: bool = False) -> None:
        """Close the connection without an answer.

        Args:
            abort: With a reset instead of an orderly end.
        """
        handler = self.handler
        handler.close_connection = True
        linger = (socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        if abort:
            handler.connection.setsockopt(*linger)
            handler.connection.close()
        else:
            handler.connection.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds: float) -> None:
        """Do nothing, for some time or until the proxy closes."""
        self.handler.proxy.closing.wait(seconds)


def answer(
    status: int, *, retry_after: int | None = None, html: bool = False
) -> Callable[[Exchange], None]:
    """Answer in the service's place; it never sees the request.

    Args:
        status: Such as 503.
        retry_after: What the header of that name asks for.
        html: Answer with a page, as a reverse proxy does, instead of JSON.
    """
    words = {"message": f"a fault: {status}"}
    headers = [("Content-Type", "text/html" if html else "application/json")]
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    body = HTML if html else json.dumps(words).encode()
    return lambda exchange: exchange.reply(Answered(status, headers, body))


def drop(exchange: Exchange) -> None:
    """Reset the connection; the service never sees the request."""
    exchange.drop(abort=True)


def lose_answer(exchange: Exchange) -> None:
    """Have the service do it, and close the connection instead of answering."""
    exchange.forward()
    exchange.drop()


def hang(exchange: Exchange) -> None:
    """Never answer; the service never sees the request."""
    exchange.wait(600.0)
    exchange.drop()


def cut_short(exchange: Exchange) -> None:
    """Have the service do it, and close the connection within its answer."""
    answered = exchange.forward()
    exchange.reply(answered, cut=max(1, len(answered.body) // 2))
    exchange.drop()


def falsify(exchange: Exchange) -> None:
    """Have the service do it, and answer with as many other bytes."""
    answered = exchange.forward()
    body = bytes(byte ^ 1 for byte in answered.body)
    exchange.reply(Answered(answered.status, answered.headers, body))


def shorten(exchange: Exchange) -> None:
    """Have the service do it, and answer with its first half as if that were all."""
    answered = exchange.forward()
    half = answered.body[: len(answered.body) // 2]
    exchange.reply(Answered(answered.status, answered.headers, half))


def late(seconds: float) -> Callable[[Exchange], None]:
    """Have the service do it after a while."""

    def act(exchange: Exchange) -> None:
        exchange.wait(seconds)
        exchange.reply(exchange.forward())

    return act


@dataclass
class Rule:
    """Which calls go wrong, and how.

    Attributes:
        method: The HTTP method.
        path: A regular expression, searched in path and query.
        action: What happens instead.
        times: How often.
        body: A regular expression that the request's body must have, too.
        hits: How often it has happened.
    """

    method: str
    path: str
    action: Callable[[Exchange], None]
    times: int = 1
    body: str = ""
    hits: int = field(default=0, init=False)

    def fits(self, method: str, path: str, body: bytes) -> bool:
        """Whether a request is meant."""
        return (
            self.hits < self.times
            and method == self.method
            and re.search(self.path, path) is not None
            and re.search(self.body.encode(), body) is not None
        )


class FaultProxy:
    """A running proxy.

    Attributes:
        upstream: The real service.
        calls: Every request, as ``"PUT /api/v1/…"``.
        closing: Set when it ends.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.calls: list[str] = []
        self.closing = threading.Event()
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self

    @property
    def url(self) -> str:
        """The proxy's address, to be given in place of the service's."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, rule: Rule) -> Rule:
        """Add a rule behind those that are there."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules and calls."""
        with self._lock:
            self._rules.clear()
            self.calls.clear()

    def count(self, method: str, path: str) -> int:
        """How many requests had this method and a path with this expression."""
        pattern = re.compile(f"^{method} .*{path}")
        return sum(1 for call in list(self.calls) if pattern.search(call))

    def take(self, method: str, path: str, body: bytes) -> Rule | None:
        """Note a request; the rule that it falls under."""
        with self._lock:
            self.calls.append(f"{method} {path}")
            for rule in self._rules:
                if rule.fits(method, path, body):
                    rule.hits += 1
                    return rule
        return None

    def serve(self) -> None:
        """Serve until `close`."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """End; requests under way are dropped."""
        self.closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy in front of the service with that URL, until the end of the block."""
    proxy = FaultProxy(upstream)
    thread = threading.Thread(target=proxy.serve, name="fault-proxy")
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Knows its connections, so that none of its threads waits at the end."""

    proxy: FaultProxy
    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._open.discard(request)
        super().close_request(request)

    def hang_up(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is what this is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def proxy(self) -> FaultProxy:
        return cast("_Server", self.server).proxy

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        exchange = Exchange(self, body)
        rule = self.proxy.take(self.command, self.path, body)
        if rule is not None:
            rule.action(exchange)
            return
        try:
            answered = exchange.forward()
        except OSError:  # the service is away: so are we
            exchange.drop(abort=True)
        else:
            exchange.reply(answered)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _any  # noqa: N815 - http.server wants these

    def log_message(self, *_arguments: Any) -> None:
        """The tests say what they want to see."""
