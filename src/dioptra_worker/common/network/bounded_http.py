"""A session for HTTP whose answers are bounded, whoever gives them.

`requests` bounds the silence between two bytes only. Here an answer as a whole has a
time and a size, before and after it is decompressed; a redirect is followed to the same
origin only, so that a password or a cookie goes nowhere else; and no ``.netrc`` is
read, which anybody who can write the home folder may have put there.
"""

from __future__ import annotations

import http.client
import io
import re
import time
import urllib.request
import zlib
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from dioptra_worker.common.text.humanize import size as shown_size

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from http.cookiejar import Cookie

    from urllib3.util.retry import Retry

MAX_ANSWER_BYTES = 256 << 20
"""Of an answer that is kept in memory, as it comes and decompressed."""
MAX_COOKIE_BYTES = 6 << 10
"""Of names and values that a session keeps: each request sends them all again, and one
that is too large by that is refused, whatever it asks."""
MAX_REDIRECTS = 5
MIN_DOWNLOAD_RATE = 16 << 10
"""Bytes a second below which a download, for all its time, is broken off."""
PIECE_BYTES = 1 << 18
"""Of a download, at once."""
NO_ORIGIN = "an address that is none"
_ODD_HOST = re.compile(r'[^/?#]*//[^/?#]*[\x00-\x20\x7f\\"<>^`{|}]')
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ENCODINGS = {"gzip", "x-gzip", "deflate"}
_MAX_ERROR_BYTES = 1 << 20
"""Of what is said about a download that is refused."""


class AnswerTooLarge(requests.RequestException):
    """An answer is larger than any honest one."""


class ForeignRedirect(requests.RequestException):
    """An answer leads to another origin, which gets nothing of what is ours."""


class Pace:
    """How long one answer may be waited for: a time, and more as more has come.

    Time that the reader itself takes between two reads does not count.
    """

    def __init__(self, seconds: float, *, rate: float | None = None) -> None:
        """Prepare.

        Args:
            seconds: How long.
            rate: Bytes a second for which it may last longer; None for no longer.
        """
        self._seconds = seconds
        self._rate = rate
        self._waited = 0.0
        self._received = 0

    def begin(self) -> None:
        """An answer begins; another try of the same request has all of the time."""
        self._waited = 0.0
        self._received = 0

    @property
    def left(self) -> float:
        """Seconds that are left; none when it is not positive."""
        more = 0.0 if self._rate is None else self._received / self._rate
        return self._seconds + more - self._waited

    def allow(self, seconds: float) -> None:
        """Let it last longer, for a reason that is known by now."""
        self._seconds += seconds

    def note(self, waited: float, received: int) -> None:
        """So long was waited for so many bytes."""
        self._waited += waited
        self._received += received


_pace: ContextVar[Pace | None] = ContextVar("dioptra_worker_pace", default=None)
"""Of the request that this thread sends; connections are shared between requests."""


@contextmanager
def download_pace(seconds: float) -> Iterator[None]:
    """Let the answers that begin in the block take time by what has come.

    Args:
        seconds: Until the first byte, and beyond what `MIN_DOWNLOAD_RATE` allows.
    """
    token = _pace.set(Pace(seconds, rate=MIN_DOWNLOAD_RATE))
    try:
        yield
    finally:
        _pace.reset(token)


class BoundedSession(requests.Session):
    """A session of `requests` with bounded answers.

    An answer that is not streamed is in memory when a call returns, with at most
    `MAX_ANSWER_BYTES`, and took no longer than the time-out for its silence. A streamed
    one is read with `pieces`, and for downloads sent within `download_pace`.
    """

    def __init__(
        self,
        *,
        agent: str = "",
        connections: int = 8,
        retries: Retry | int = 0,
        netrc: bool = False,
        fixed_environment: bool = False,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            agent: The ``User-Agent``; that of `requests` when empty.
            connections: To one host, at most as many are kept open.
            retries: Which failures urllib3 tries again by itself.
            netrc: Whether a ``.netrc`` may name a user, as for people's commands.
            fixed_environment: Whether the variables that name proxies and certificates
                stay as they are, so that they need not be looked up for each request.
        """
        super().__init__()
        # What macOS has in its settings beside the variables may change at any time.
        is_all = urllib.request.getproxies is urllib.request.getproxies_environment
        self._looks_once = fixed_environment and is_all
        self._found: tuple[str, dict[str, Any]] | None = None
        self.max_redirects = MAX_REDIRECTS
        self.headers["Accept-Encoding"] = "gzip, deflate"
        self.cookies.set_policy(_FewCookies(self.cookies))
        if agent:
            self.headers["User-Agent"] = agent
        if not netrc:
            self.auth = _unchanged
        for scheme in ("http://", "https://"):
            self.mount(scheme, _BoundedAdapter(connections, retries))

    def merge_environment_settings(  # type: ignore[override]
        self,
        url: str,
        proxies: dict[str, str] | None,
        stream: bool | None,
        verify: bool | str | None,
        cert: Any,
    ) -> dict[str, Any]:
        """What holds for a request: proxies, certificates, and what its caller says.

        `requests` goes twice through all of the environment for that.
        """
        look = cast("Any", super().merge_environment_settings)
        if proxies or verify is not None or cert is not None or not self._looks_once:
            return cast("dict[str, Any]", look(url, proxies, stream, verify, cert))
        here = origin(url)
        found = self._found
        if found is None or found[0] != here:
            found = self._found = (here, look(url, {}, None, None, None))
        return {
            **found[1],
            "proxies": found[1]["proxies"].copy(),
            "stream": found[1]["stream"] if stream is None else stream,
        }

    def environment_proxies(self, url: str) -> dict[str, str]:
        """The environment's proxies by scheme; none for an address that needs none."""
        found = self.merge_environment_settings(url, {}, None, None, None)
        return cast("dict[str, str]", found["proxies"])

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads, if that is where it came from.

        Raises:
            ForeignRedirect: It leads elsewhere.
        """
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        here = resp.url or ""
        there = requests.compat.urljoin(here, target)
        if not may_follow(here, there):
            resp.close()
            raise ForeignRedirect(
                f"{origin(here)} leads to another address, {origin(there)}, which is"
                " not followed since it would be sent what is meant for the first: if"
                " it is the right one, set it as the address"
            )
        return target

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Keep who we are: redirects lead to the same origin only."""


class _FewCookies(DefaultCookiePolicy):
    """Takes a cookie while all that a session has are small together."""

    def __init__(self, jar: requests.cookies.RequestsCookieJar) -> None:
        super().__init__()
        self._jar = jar

    def set_ok(self, cookie: Cookie, request: urllib.request.Request) -> bool:
        key = (cookie.domain, cookie.path, cookie.name)
        size = _cookie_bytes(cookie) + sum(
            _cookie_bytes(kept)
            for kept in self._jar
            if (kept.domain, kept.path, kept.name) != key  # which it replaces
        )
        return size <= MAX_COOKIE_BYTES and super().set_ok(cookie, request)


def _cookie_bytes(cookie: Cookie) -> int:
    return len(cookie.name) + len(cookie.value or "")


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticate as nobody; without it, `requests` would look into ``.netrc``."""
    return request


def origin(url: str) -> str:
    """The scheme, host and port of an address, without any password.

    An address that two readers could read in two ways, as one with a backslash before
    its ``@``, has none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return NO_ORIGIN
    if _ODD_HOST.match(url):
        return NO_ORIGIN
    host = (parts.hostname or "").rstrip(".")
    shown = f"[{host}]" if ":" in host else host
    if port in {None, _DEFAULT_PORTS.get(parts.scheme)}:
        return f"{parts.scheme}://{shown}"
    return f"{parts.scheme}://{shown}:{port}"


def may_follow(here: str, there: str) -> bool:
    """Whether a redirect leads to the same origin, or to TLS on the same host.

    Args:
        here: Where the answer came from.
        there: Where it leads.
    """
    first, second = origin(here), origin(there)
    # Both at their usual ports: somebody has put TLS before the same service.
    return first == second or first.replace("http:", "https:", 1) == second


def cookie_for(url: str, name: str, value: str) -> Cookie:
    """A cookie that is sent to the host of an address, and to no other.

    Args:
        url: The address.
        name: The cookie's name.
        value: Its value.
    """
    host = urlsplit(url).netloc.rpartition("@")[2].lower()
    host = host.rpartition("]")[0] + "]" if "]" in host else host.partition(":")[0]
    # What the standard library's cookie jar calls a host without a dot.
    domain = host if "." in host else f"{host}.local"
    created = requests.cookies.create_cookie(name, value, domain=domain)  # type: ignore[no-untyped-call]
    return cast("Cookie", created)


def pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield what a streamed answer holds, in pieces as they come, decompressed.

    No piece is larger than `PIECE_BYTES`, whatever was compressed to how little.

    Raises:
        requests.RequestException: It broke off, is too slow, or cannot be decompressed.
    """
    encodings = _encodings(response)
    if not encodings:
        yield from _raw_pieces(response)
        return
    if len(encodings) > 1 or encodings[0] not in _ENCODINGS:
        raise requests.exceptions.ContentDecodingError(
            f"it is compressed in a way that was not asked for: {encodings}"
        )
    yield from _decompressed(_raw_pieces(response))


def is_encoded(response: requests.Response) -> bool:
    """Whether ``Content-Length`` is not what `pieces` will give."""
    return bool(_encodings(response))


def _encodings(response: requests.Response) -> list[str]:
    named = response.headers.get("Content-Encoding", "").lower().split(",")
    return [name for part in named if (name := part.strip()) not in {"", "identity"}]


def _decompressed(raw: Iterator[bytes]) -> Iterator[bytes]:
    decoder = None
    for data in raw:
        if decoder is None:
            decoder = zlib.decompressobj(_window_bits(data))
        rest = data
        while rest:
            try:
                piece = decoder.decompress(rest, PIECE_BYTES)
            except zlib.error as error:
                raise requests.exceptions.ContentDecodingError(
                    f"it cannot be decompressed: {error}"
                ) from error
            if piece:
                yield piece
            if decoder.unused_data:
                raise requests.exceptions.ContentDecodingError(
                    "it goes on after its end"
                )
            rest = decoder.unconsumed_tail
    if decoder is not None and not decoder.eof:
        raise requests.exceptions.ChunkedEncodingError("it ends before its end")


def _window_bits(start: bytes) -> int:
    """Of gzip, zlib, or what some servers send as deflate, which has no header."""
    has_header = start[:1] == b"\x1f" or (
        start[:1] == b"x" and int.from_bytes(start[:2], "big") % 31 == 0
    )
    return 32 + zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


def _raw_pieces(response: requests.Response) -> Iterator[bytes]:
    raw = response.raw
    read = getattr(raw, "read1", raw.read)  # read1 since urllib3 2.1
    try:
        while data := read(PIECE_BYTES, decode_content=False):
            yield data
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from error
    except urllib3.exceptions.ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        raise requests.exceptions.ConnectionError(error) from error


class _BoundedAdapter(HTTPAdapter):
    """Sends requests over connections whose answers are bounded."""

    def __init__(self, connections: int, retries: Retry | int) -> None:
        super().__init__(
            pool_connections=2, pool_maxsize=connections, max_retries=retries
        )

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.ProxyManager:
        manager = super().proxy_manager_for(proxy, **options)
        # One for SOCKS makes connections of its own.
        if manager.pool_classes_by_scheme is urllib3.poolmanager.pool_classes_by_scheme:
            manager.pool_classes_by_scheme = _POOLS
        return cast("urllib3.ProxyManager", manager)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        given = timeout[1] if isinstance(timeout, tuple) else timeout
        token = None
        if _pace.get() is None and given is not None:
            token = _pace.set(Pace(given))
        try:
            response = super().send(
                request,
                stream=True,
                timeout=timeout,
                verify=verify,
                cert=cert,
                proxies=proxies,
            )
        finally:
            if token is not None:
                _pace.reset(token)
        if not stream:
            _hold(response, MAX_ANSWER_BYTES)
        elif not response.ok or response.is_redirect:
            _hold(response, _MAX_ERROR_BYTES)
        return response


def _hold(response: requests.Response, limit: int) -> None:
    """Read all of an answer into memory, as `requests` does, within the limit."""
    try:
        content = b"".join(_up_to(limit, pieces(response)))
    except BaseException:
        response.close()
        raise
    # What `requests` itself does when an answer is not streamed; there is no way in.
    response._content = content  # noqa: SLF001
    response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001


def _up_to(limit: int, parts: Iterator[bytes]) -> Iterator[bytes]:
    seen = 0
    for part in parts:
        seen += len(part)
        if seen > limit:
            raise AnswerTooLarge(f"it sent an answer of more than {shown_size(limit)}")
        yield part


class _BoundedResponse(http.client.HTTPResponse):
    """Reads an answer at the pace of the request that this thread sends."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        pace = _pace.get()
        if pace is not None:
            pace.begin()
            raw = self.fp.detach()
            self.fp = io.BufferedReader(PacedSocket(raw, sock, pace))


class PacedSocket(io.RawIOBase):
    """A socket's reading side that is closed to who sends too slowly."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, pace: Pace) -> None:
        self._raw = raw
        self._sock = sock
        self._pace = pace
        self._silence = sock.gettimeout()

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what comes next.

        Raises:
            TimeoutError: Too slowly.
        """
        left = self._pace.left
        if left <= 0:
            raise TimeoutError("the whole answer took too long")
        silence = self._silence
        began = time.monotonic()
        try:
            self._sock.settimeout(left if silence is None else min(silence, left))
            count: int | None = self._raw.readinto(buffer)
        finally:
            waited = time.monotonic() - began
            if self._sock.fileno() >= 0:
                self._sock.settimeout(silence)  # of who uses the connection next
        self._pace.note(waited, count or 0)
        return count

    def close(self) -> None:
        """Close what is read, not the connection."""
        self._raw.close()
        super().close()


class _Connection(HTTPConnection):
    response_class = _BoundedResponse


class _TlsConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}
