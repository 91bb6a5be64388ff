"""A real HTTP server on this machine that answers as a test's script says."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """What a client sent.

    Attributes:
        method: Such as ``"GET"``.
        path: The path behind ``/api/v1/``, without the query.
        query: The query's values by name.
        headers: The headers by name.
        body: The JSON, or None.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    @property
    def what(self) -> str:
        """Method and path, such as ``"GET jobs/7"``."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """What the server says.

    Attributes:
        status: The HTTP status.
        body: JSON; bytes are sent as they are.
        headers: More headers.
        length: A Content-Length that is not the body's: the connection is cut then.
        reset: Cut the connection without a word.
    """

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    reset: bool = False


Script = Callable[[Request], Answer]


class ScriptedApi:
    """The server.

    Attributes:
        url: Its address.
        requests: What it was asked, in order.
    """

    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        self._script = script
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def asked(self) -> list[str]:
        """Method and path of every request."""
        return [request.what for request in self.requests]

    def answer(self, request: Request) -> Answer:
        """Note a request and answer it."""
        self.requests.append(request)
        return self._script(request)

    @contextmanager
    def running(self) -> Iterator[ScriptedApi]:
        """Serve until the end of the block."""
        thread = threading.Thread(
            target=self._server.serve_forever, args=[0.01], daemon=True
        )
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


LOG = "GET jobs/0/log"
LOGIN = "POST auth/login"
EMPTY_LOG = Answer(body={"data": [], "totalNumResults": 0})
_NO_PATH = Answer(404, b"<!doctype html><title>404 Not Found</title>")


class OlderApi:
    """A script: the API before 1.1, whose jobs have no log.

    Attributes:
        answers: What it says, by method and path.
    """

    def __init__(self, *, health: object = "healthy", version: object = "1.0.1"):
        self.answers = {
            LOGIN: Answer(),
            "GET /health": Answer(body=health),
            "GET /swagger.json": described(version),
        }

    def __call__(self, request: Request) -> Answer:
        """Answer."""
        return self.answers.get(request.what, _NO_PATH)


def described(version: object, title: str = "Dioptra REST API") -> Answer:
    """The API's description of itself."""
    return Answer(body={"info": {"title": title, "version": version}, "paths": {}})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


def _handler(api: ScriptedApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_PUT(self) -> None:
            self._serve()

        do_DELETE = do_PUT  # noqa: N815 - as http.server calls it

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = api.answer(
                Request(
                    method=self.command,
                    path=parts.path.removeprefix("/api/v1/"),
                    query={k: v[0] for k, v in parse_qs(parts.query).items()},
                    headers=dict(self.headers),
                    body=json.loads(content) if content else None,
                )
            )
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            if answer.reset:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                return
            body = answer.body
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(content) if answer.length is None else answer.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)
            if answer.length is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
