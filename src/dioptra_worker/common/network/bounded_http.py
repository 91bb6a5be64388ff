"""A session for HTTP whose answers are bounded, whoever gives them.

`requests` bounds the silence between two bytes only. Here an answer as a whole has a
time and a size, before and after it is decompressed; a redirect is followed to the same
origin only, so that a password or a cookie goes nowhere else; and no ``.netrc`` is
read, which anybody who can write the home folder may have put there.
"""

from __future__ import annotations

import urllib.request
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter

from dioptra_worker.common.network.answer_pieces import pieces
from dioptra_worker.common.network.origins import may_follow, origin
from dioptra_worker.common.network.paced_connections import POOLS, answer_pace
from dioptra_worker.common.text.humanize import size as shown_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.cookiejar import Cookie

    from urllib3.util.retry import Retry

MAX_ANSWER_BYTES = 256 << 20
"""Of an answer that is kept in memory, as it comes and decompressed."""
MAX_COOKIE_BYTES = 6 << 10
"""Of names and values that a session keeps: each request sends them all again, and one
that is too large by that is refused, whatever it asks."""
MAX_REDIRECTS = 5
_MAX_ERROR_BYTES = 1 << 20
"""Of what is said about a download that is refused."""


class AnswerTooLarge(requests.RequestException):
    """An answer is larger than any honest one."""


class ForeignRedirect(requests.RequestException):
    """An answer leads to another origin, which gets nothing of what is ours."""


class BoundedSession(requests.Session):
    """A session of `requests` with bounded answers.

    An answer that is not streamed is in memory when a call returns, with at most
    `MAX_ANSWER_BYTES`, and took no longer than the time-out for its silence. A streamed
    one is read with `answer_pieces.pieces`, and for downloads sent within
    `paced_connections.download_pace`.
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
            requests.exceptions.InvalidURL: It leads to what is no address.
        """
        here = resp.url or ""
        try:
            target = super().get_redirect_target(resp)
            if target is None:
                return None
            there = requests.compat.urljoin(here, target)
        except ValueError as error:
            resp.close()
            raise requests.exceptions.InvalidURL(
                f"{origin(here)} leads to what is no address: {error}"
            ) from error
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


class _BoundedAdapter(HTTPAdapter):
    """Sends requests over connections whose answers are bounded."""

    def __init__(self, connections: int, retries: Retry | int) -> None:
        super().__init__(
            pool_connections=2, pool_maxsize=connections, max_retries=retries
        )

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.ProxyManager:
        manager = super().proxy_manager_for(proxy, **options)
        # One for SOCKS makes connections of its own.
        if manager.pool_classes_by_scheme is urllib3.poolmanager.pool_classes_by_scheme:
            manager.pool_classes_by_scheme = POOLS
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
        with answer_pace(given):
            response = super().send(
                request,
                stream=True,
                timeout=timeout,
                verify=verify,
                cert=cert,
                proxies=proxies,
            )
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
