"""A small HTTP server that plays the REST API for one test."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Request:
    """What came.

    Attributes:
        method: The HTTP method.
        path: The path with its query.
        cookie: The cookie header.
        body: The body.
    """

    method: str
    path: str
    cookie: str
    body: bytes

    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


@dataclass
class ApiServer:
    """What the server has to answer, and what it has seen.

    Attributes:
        url: Its address.
        answers: What it answers next: a status with a body, ``"drop"`` to close the
            connection without a word, ``"cut"`` to close it amid the body. When there
            are none left it answers 200, ``{}``.
        good_cookie: The session that it knows; others get a 401. None: all are good.
        seen: The requests, in order.
    """

    url: str = ""
    answers: list[tuple[int, str] | str] = field(default_factory=list)
    good_cookie: str | None = None
    seen: list[Request] = field(default_factory=list)

    def next_answer(self, request: Request) -> tuple[int, str] | str:
        """Write a request down and return what to answer."""
        self.seen.append(request)
        if self.good_cookie is not None and self.good_cookie not in request.cookie:
            return (401, '{"message": "log in"}')
        return self.answers.pop(0) if self.answers else (200, "{}")


@contextmanager
def serving() -> Iterator[ApiServer]:
    """Run a server on a free port of this machine."""
    api = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def any_method(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            answer = api.next_answer(
                Request(
                    self.command,
                    self.path,
                    self.headers.get("Cookie", ""),
                    self.rfile.read(length),
                )
            )
            if isinstance(answer, str):
                self.close_connection = True
                if answer == "cut":
                    self.send_response(200)
                    self.send_header("Content-Length", "100")
                    self.end_headers()
                    self.wfile.write(b"beginning")
                return
            status, body = answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            if status == 503:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT = do_DELETE = any_method  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield api
        server.shutdown()
        thread.join()
