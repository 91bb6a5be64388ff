"""The health port: ``/livez``, ``/readyz`` and ``/metrics`` over HTTP.

Bounded on every side: a few requests at a time, each for a few seconds, none with a
body, so that whoever asks cannot keep the daemon from anything.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from dioptra_worker.daemon.health import metrics, probes

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.daemon.health.state import HealthState

log = logging.getLogger("dioptra_worker.health")

MAX_REQUESTS = 8
"""Requests that are answered at a time; others are hung up on."""
REQUEST_TIMEOUT = 5.0
"""Seconds that one request may take from connecting to its end."""
_CHECK_INTERVAL = 0.5


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
        self._places = threading.BoundedSemaphore(MAX_REQUESTS)
        self._open: dict[socket.socket, float] = {}
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
        """Answer in a thread if there is a place; else hang up."""
        assert isinstance(request, socket.socket)
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._open[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads can be started
            self._open.pop(request, None)
            self._places.release()
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
            self._open.pop(request, None)
            self._places.release()

    def service_actions(self) -> None:
        """Hang up on whoever takes too long; called by the base class in its loop."""
        for request, since in list(self._open.items()):
            if time.monotonic() - since > self._request_timeout:
                try:
                    request.shutdown(socket.SHUT_RDWR)
                except OSError:  # it has just ended by itself
                    continue

    def handle_error(self, request: object, client_address: object) -> None:
        """Note that a request broke; it is most often the other side that hung up."""
        del request
        log.debug("a request from %s broke", client_address, exc_info=True)


class _Request(BaseHTTPRequestHandler):
    server: HealthServer
    server_version = "dioptra-worker"
    sys_version = ""
    timeout = REQUEST_TIMEOUT

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


_PLAIN = "text/plain; charset=utf-8"


def _unknown() -> tuple[HTTPStatus, str, str]:
    words = "there are /livez, /readyz and /metrics\n"
    return HTTPStatus.NOT_FOUND, _PLAIN, words
