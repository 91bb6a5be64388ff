"""Serves the page on this machine, to whoever has its address, secret included.

Anybody with an account on this machine can connect. So the address to begin with has a
secret, which the browser then keeps in a cookie; nothing is answered without.

A browser can be made to send requests here by any page that it shows. So the name that
it asks for must be one of this machine's own (no other name can be pointed at us), a
change must bring a token that only our pages hold, and our pages may load and send
nothing but from here and to here.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import socket
import time
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from dioptra_worker.errors import WorkerError
from dioptra_worker.tools.jobs.artifacts.file_names import disposition
from dioptra_worker.tools.jobs.page.http import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.jobs.page.http import Download
    from dioptra_worker.tools.jobs.page.routes import Routes

log = logging.getLogger("dioptra_worker.jobs.page")

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_FORM_BYTES = 500_000
DOWNLOAD_IDLE_TIMEOUT = 3600.0
"""Seconds that a browser may pause a download."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name, as RFC 9110 has it."""
_FINISH_TIMEOUT = 2.0
"""Seconds that a request which is refused may still send something."""
_LENGTH = re.compile(r"[0-9]{1,9}")
_SIGN_IN = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Jobs</title>
<h1>Open the address that `dioptra-worker jobs serve` has printed: it lets you in.</h1>
"""


class CannotListen(WorkerError):
    """The address or the port cannot be had."""


@contextmanager
def serving(routes: Routes, *, host: str, port: int) -> Iterator[PageServer]:
    """Listen until the end of the block; `PageServer.serve_forever` answers.

    Args:
        routes: The pages.
        host: An address of this machine.
        port: The port; 0 is any free one.

    Raises:
        CannotListen: Somebody else does, or the address is not ours.
    """
    try:
        server = PageServer(routes, host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotListen(
            f"cannot listen on {host}:{port}: {reason}: choose another --port"
        ) from error
    with server:
        yield server


class PageServer(ThreadingHTTPServer):
    """The server; a thread for each connection."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, routes: Routes, host: str, port: int) -> None:
        self.routes = routes
        self.names = LOOPBACK | {host.lower()}
        self.secret = secrets.token_urlsafe(32)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    @property
    def cookie(self) -> str:
        """The cookie's name: a browser has one jar for all ports of a machine."""
        return f"dioptra-jobs-{self.server_address[1]}"

    @property
    def sign_in(self) -> str:
        """What to open in a browser on this machine first."""
        return f"{self.address}?{urlencode({'token': self.secret})}"

    @property
    def address(self) -> str:
        """Where the page is, for who was let in."""
        host, port = self.server_address[:2]
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else str(host)  # noqa: S104
        return (
            f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"
        )

    def handle_error(self, request: object, client_address: object) -> None:
        """Note a connection that broke; browsers close them as they like."""
        del request
        log.debug("connection of %s broke", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP; what is answered is the routes' business."""

    protocol_version = "HTTP/1.1"
    timeout = 60.0
    server: PageServer

    def version_string(self) -> str:
        return "dioptra-worker"

    def do_GET(self) -> None:
        self._serve("GET")

    def do_HEAD(self) -> None:
        self._serve("GET", with_body=False)

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str, *, with_body: bool = True) -> None:
        try:
            answer = self._refusal()
            if answer is None:
                answer = self._routed(method)
            else:
                self.close_connection = True  # what it may still send is not read
        except Exception:
            log.exception("a page broke: %s %s", method, self.path)
            self.close_connection = True
            answer = Answer(
                status=HTTPStatus.INTERNAL_SERVER_ERROR,
                body=b"The page broke; the terminal says where.",
                content_type="text/plain",
            )
        self._send(answer, with_body=with_body)
        if self.close_connection and "Content-Length" in self.headers:
            self._let_finish()

    def _let_finish(self) -> None:
        """Take what a refused request still sends, or who sends it hears no answer."""
        until = time.monotonic() + _FINISH_TIMEOUT
        with suppress(OSError):
            self.connection.settimeout(_FINISH_TIMEOUT)
            while time.monotonic() < until and self.rfile.read1(1 << 16):
                pass

    def _refusal(self) -> Answer | None:
        """Why a request is not even looked at."""
        if not self._is_plain():
            return _plain(HTTPStatus.BAD_REQUEST, "This is no request of a browser's.")
        # Any name can be made to lead to 127.0.0.1 after its page was loaded (DNS
        # rebinding); the browser then takes us for that page's own server. The name
        # that it asks for still tells.
        if _host_name(self.headers.get("Host", "")) not in self.server.names:
            return _plain(
                HTTPStatus.FORBIDDEN, "Ask for this page by localhost or 127.0.0.1."
            )
        # Browsers leave it out when a link is followed, which changes nothing here;
        # with a form they send it, and the form needs the token as well.
        origin = self.headers.get("Origin")
        if origin is not None and _foreign(origin, self.headers["Host"]):
            return _plain(HTTPStatus.FORBIDDEN, "Another page has sent this request.")
        return None if self._has_cookie() else self._sign_in()

    def _has_cookie(self) -> bool:
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            return False
        given = cookies.get(self.server.cookie)
        return given is not None and self._is_secret(given.value)

    def _is_secret(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.server.secret.encode())

    def _sign_in(self) -> Answer:
        """Exchange the secret of an address for a cookie; nobody else comes in."""
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        if self.command == "POST" or not self._is_secret(query.pop("token", "")):
            return Answer(status=HTTPStatus.UNAUTHORIZED, body=_SIGN_IN)
        rest = f"?{urlencode(query)}" if query else ""
        # No script reads it, and no other site's page sends anything with it.
        cookie = f"{self.server.cookie}={self.server.secret}"
        return Answer(
            status=HTTPStatus.SEE_OTHER,
            # Two slashes would lead to another machine.
            location="/" + parts.path.lstrip("/") + rest,
            cookie=f"{cookie}; HttpOnly; SameSite=Lax; Path=/",
        )

    def _is_plain(self) -> bool:
        """Whether nobody could read this request in another way than we do.

        What one of two readers takes for a request's body, the other takes for the
        next request.
        """
        names = self.headers.keys()
        return (
            self.path.startswith("/")
            and not self.headers.defects
            and not self.headers.get_payload()
            and all(_TOKEN.fullmatch(name) for name in names)
            and len(self.headers.get_all("Host", [])) == 1
            and "Transfer-Encoding" not in self.headers
        )

    def _body_length(self) -> int | None:
        """The bytes of a request's body; None where it is not to be read."""
        given = self.headers.get_all("Content-Length", ["0"])
        if len(given) != 1 or not _LENGTH.fullmatch(given[0]):
            return None
        length = int(given[0])
        return length if length <= MAX_FORM_BYTES else None

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Answer what cannot be read, and nothing that may come after it."""
        self.close_connection = True
        super().send_error(code, message, explain)

    def _routed(self, method: str) -> Answer:
        parts = urlsplit(self.path)
        form: dict[str, str] = {}
        length = self._body_length()
        if length is None or (method != "POST" and length):
            self.close_connection = True  # what it sends is not read
            return _plain(HTTPStatus.BAD_REQUEST, "This is no form of this page.")
        if method == "POST":
            content = self.rfile.read(length).decode("utf-8", "replace")
            # A value that was emptied is one, too.
            form = dict(parse_qsl(content, keep_blank_values=True))
        return self.server.routes.answer(
            Request(
                method=method,
                path=parts.path,
                query=dict(parse_qsl(parts.query)),
                form=form,
            )
        )

    def _send(self, answer: Answer, *, with_body: bool) -> None:
        self.send_response(answer.status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if answer.location is not None:
            self.send_header("Location", answer.location)
        if answer.cookie is not None:
            self.send_header("Set-Cookie", answer.cookie)
        self.send_header("Content-Type", answer.content_type)
        if answer.download is not None:
            with answer.download:
                self._pass_on(answer.download, answer.name, with_body=with_body)
            return
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def _pass_on(self, download: Download, name: str, *, with_body: bool) -> None:
        """Send a download while it comes, so that it is never here as a whole."""
        self.send_header("Content-Disposition", disposition(name))
        chunked = download.length is None and self.request_version != "HTTP/1.0"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif download.length is not None:
            self.send_header("Content-Length", str(download.length))
        else:
            self.close_connection = True  # which is how its end is told
        self.end_headers()
        if not with_body:
            return
        self.connection.settimeout(DOWNLOAD_IDLE_TIMEOUT)
        try:
            for piece in download:
                if chunked:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                else:
                    self.wfile.write(piece)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        except WorkerError as error:
            # Without the last chunk, the browser knows that this is not all.
            log.warning("a download broke off: %s", error)
            self.close_connection = True
        self.connection.settimeout(self.timeout)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        log.debug(format, *args)


def _plain(status: HTTPStatus, text: str) -> Answer:
    return Answer(status=status, body=text.encode(), content_type="text/plain")


def _host_name(host: str) -> str:
    """The name of a ``Host`` header, without its port; empty when it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _foreign(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True
