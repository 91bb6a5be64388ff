"""A store that keeps objects, also in parts, and insists on something in requests."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Insist = Callable[["Asked"], bool]

TAG_OF_PARTS = f'"{"5" * 32}-2"'
"""What the store says of an object that came in parts; no checksum of anything."""


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        method: Such as ``PUT``.
        host: Which it is for; not ours, where we are a proxy.
        path: Without what it asks for.
        headers: By names in lower case.
    """

    method: str
    host: str
    path: str
    headers: Mapping[str, str]

    @property
    def shape(self) -> tuple[str, ...]:
        """What two clients that are ruled alike have in common."""
        who = self.headers.get("authorization", "").partition("/")[0]
        about = ("content-type", "content-encoding", "x-amz-expected-bucket-owner")
        more = ("x-amz-server-side-encryption", "x-amz-security-token")
        rest = tuple(self.headers.get(name, "") for name in (*about, *more))
        return (self.method, self.host, self.path, who, *rest)


class InsistingStore:
    """The store.

    Attributes:
        address: Where it is.
        asked: What it was asked, in order.
        objects: What it has, by host and path.
        parts: What came of objects in parts, by path and number.
        refusal: The status with which it refuses.
    """

    def __init__(self, insist: Insist) -> None:
        self.insist = insist
        self.asked: list[Asked] = []
        self.objects: dict[tuple[str, str], bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.address = ""
        self.refusal = 403

    def answer(self, asked: Asked, body: bytes, query: str) -> tuple[int, bytes]:
        """Keep or give an object; refuse what lacks what is insisted on."""
        self.asked.append(asked)
        if not self.insist(asked):
            return self.refusal, b"<Error><Code>AccessDenied</Code></Error>"
        key = (asked.host, asked.path)
        if number := parse_qs(query).get("partNumber"):
            self.parts[asked.path, int(number[0])] = body
            return 200, b""
        if asked.method == "POST":
            return 200, self._begin_or_end(key, query)
        if asked.method == "PUT":
            self.objects[key] = body
            return 200, b""
        found = self.objects.get(key)
        return (404, b"") if found is None else (200, found)

    def _begin_or_end(self, key: tuple[str, str], query: str) -> bytes:
        """Begin an object in parts, or put one together."""
        if query.startswith("uploads"):
            return b"<Begun><UploadId>1</UploadId></Begun>"
        mine = sorted(number for path, number in self.parts if path == key[1])
        self.objects[key] = b"".join(self.parts[key[1], number] for number in mine)
        return f"<Ended><ETag>{TAG_OF_PARTS}</ETag></Ended>".encode()


@contextmanager
def insisting_store(insist: Insist) -> Iterator[InsistingStore]:
    """Run a store that refuses what does not satisfy a condition.

    It is a proxy, too, for hosts of any name.
    """
    store = InsistingStore(insist)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            parts = urlsplit(self.path)
            host = parts.netloc or self.headers["Host"]
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, host, parts.path, headers)
            status, content = store.answer(asked, body, parts.query)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", '"none"')
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_PUT = do_POST = do_GET = do_HEAD = _do  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
