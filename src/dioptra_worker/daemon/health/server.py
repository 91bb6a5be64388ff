"""The health port: ``/livez``, ``/readyz`` and ``/metrics`` over HTTP.

Bounded on every side: a few requests at a time, each for a few seconds and of a few
kilobytes, none with a body, so that whoever asks cannot keep the daemon from anything.
Nor can whoever asks slowly keep a probe from its answer: when all places are taken, the
one who has been asking for longest is hung up on.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from dioptra_worker.daemon.health import metrics, probes

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.daemon.health.state import HealthState

log = logging.getLogger("dioptra_worker.health")

MAX_REQUESTS = 8
"""Requests that are answered at a time; for one more, the oldest is hung up on."""
MAX_THREADS = 4 * MAX_REQUESTS
"""Threads at a time: who was hung up on has one until it notices."""
MAX_HEAD_BYTES = 16 << 10
"""Of a request's line and headers."""
REQUEST_TIMEOUT = 5.0
"""Seconds that one request may take from connecting to its end."""
_CHECK_INTERVAL = 0.2


class HealthServer(ThreadingHTTPServer):
    """Answers from threads of its own; `close` ends them."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self,
        host: str,
        port: int,
        health: HealthState,
        *,
        request_timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        """Open the port and begin to answer.

        Args:
            host: The address to listen on.
            port: The port; 0 is any that is free.
            health: What to show.
            request_timeout: Seconds that one request may take.

        Raises:
            OSError: If it cannot be opened.
        """
        self.health = health
        self._request_timeout = request_timeout
        self._thread_places = threading.BoundedSemaphore(MAX_THREADS)
        # Since when, the oldest first. Its threads take themselves out of it while the
        # one that accepts looks through it, so nobody else may close what is in it.
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Request)
        self._thread = threading.Thread(
            target=self.serve_forever,
            args=[_CHECK_INTERVAL],
            name="dioptra-health-port",
            daemon=True,
        )
        self._thread.start()

    def server_bind(self) -> None:
        """Bind, without asking the name service who we are as the base class does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        host, port = self.socket.getsockname()[:2]
        self.server_address = (host, port)
        self.server_name, self.server_port = str(host), port

    @property
    def port(self) -> int:
        """The port that is open."""
        return self.server_port

    def close(self) -> None:
        """Close the port."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def process_request(
        self,
        request: socket.socket | tuple[bytes, socket.socket],
        client_address: object,
    ) -> None:
        """Answer in a thread; the oldest gives way when there is no place."""
        assert isinstance(request, socket.socket)
        self._make_place()
        if not self._thread_places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        with self._lock:
            self._open[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads can be started
            with self._lock:
                self._open.pop(request, None)
            self._thread_places.release()
            raise

    def process_request_thread(
        self,
        request: socket.socket | tuple[bytes, socket.socket],
        client_address: object,
    ) -> None:
        """Answer, then free the place."""
        assert isinstance(request, socket.socket)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._thread_places.release()

    def shutdown_request(
        self, request: socket.socket | tuple[bytes, socket.socket]
    ) -> None:
        """Close a connection, which from then on nobody else hangs up on."""
        assert isinstance(request, socket.socket)
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Hang up on whoever takes too long; called by the base class in its loop."""
        now = time.monotonic()
        with self._lock:
            for request, since in list(self._open.items()):
                if now - since > self._request_timeout:
                    self._hang_up(request)

    def _make_place(self) -> None:
        with self._lock:
            while len(self._open) >= MAX_REQUESTS:
                self._hang_up(next(iter(self._open)))

    def _hang_up(self, request: socket.socket) -> None:
        """Wake up the thread that answers; the lock must be held."""
        del self._open[request]
        with contextlib.suppress(OSError):  # it has just ended by itself
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Note that a request broke; it is most often the other side that hung up."""
        del request
        log.debug("a request from %s broke", client_address, exc_info=True)


class _Request(BaseHTTPRequestHandler):
    server: HealthServer
    server_version = "dioptra-worker"
    sys_version = ""
    timeout = REQUEST_TIMEOUT

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Head(self.rfile.detach()))

    def do_GET(self) -> None:
        answers: dict[str, Callable[[], tuple[HTTPStatus, str, str]]] = {
            "/livez": lambda: self._verdict(probes.why_not_alive),
            "/readyz": lambda: self._verdict(probes.why_not_ready),
            "/metrics": self._metrics,
        }
        path = self.path.partition("?")[0]
        status, kind, text = answers.get(path, _unknown)()
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server looks for this name

    def _verdict(self, judge: Callable[..., list[str]]) -> tuple[HTTPStatus, str, str]:
        reasons = judge(self.server.health.snapshot())
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return status, _PLAIN, "\n".join(reasons or ["ok"]) + "\n"

    def _metrics(self) -> tuple[HTTPStatus, str, str]:
        text = metrics.render(self.server.health.snapshot())
        return HTTPStatus.OK, metrics.CONTENT_TYPE, text

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
        log.debug(format, *args)


class _Head(io.RawIOBase):
    """What a client sends, up to a request's honest size."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self._left = MAX_HEAD_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._left <= 0:
            raise ConnectionError(f"a request of more than {MAX_HEAD_BYTES} bytes")
        count = self._raw.readinto(memoryview(buffer)[: self._left])
        self._left -= count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


_PLAIN = "text/plain; charset=utf-8"


def _unknown() -> tuple[HTTPStatus, str, str]:
    words = "there are /livez, /readyz and /metrics\n"
    return HTTPStatus.NOT_FOUND, _PLAIN, words
