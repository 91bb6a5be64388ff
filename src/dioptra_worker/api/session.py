"""A user's session with the Dioptra REST API.

Every request has a timeout, fails with errors of ours (`dioptra_worker.api.errors`),
and logs in again once when the API has forgotten the session. It never waits or retries
by itself: who calls knows how patient to be (see
`dioptra_worker.common.network.backoff`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import socket
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import requests

from dioptra_worker.api import USER_AGENT
from dioptra_worker.api.errors import (
    SERVICE,
    check_address,
    expect_shape,
    login_error,
    of_kind,
    status_error,
    translate_errors,
    unreachable_error,
)
from dioptra_worker.api.health import ask_health, ask_version, no_job_log
from dioptra_worker.common.network.answer_pieces import is_encoded, pieces
from dioptra_worker.common.network.bounded_http import BoundedSession
from dioptra_worker.common.network.paced_connections import download_pace
from dioptra_worker.common.network.proxies import check_proxy, via_proxy
from dioptra_worker.common.text import strict_json
from dioptra_worker.common.text.humanize import size as shown_size
from dioptra_worker.errors import (
    ArtifactError,
    ForeignAnswer,
    LoginRefused,
    PathUnknown,
    ServiceRefused,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dioptra_worker.api.health import HealthAnswer

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
STORE_TIMEOUT = 3600.0
"""Seconds until the first byte of what the API itself has yet to get from a store."""
FRESH_ANSWER = 1.0
"""Seconds in which an API that has answered need not be looked for."""
MAX_CONNECTIONS = 8
PAGE_LENGTH = 500
MAX_PAGES = 20_000
"""Of a list; whoever sends more sends the same again and again."""
_FORGOTTEN = {
    requests.codes.unauthorized,
    requests.codes.header_fields_too_large,  # by cookies that somebody has given us
}
"""Statuses that say that nothing was done, and that a new session helps against."""
OnBytes = Callable[[int], object]
"""Is told how many bytes more of a download have arrived; may raise to give up."""


class DownloadStream:
    """The contents of an answer, read in pieces while they come; close it.

    Attributes:
        length: How many bytes there are, where the API has said so.
    """

    def __init__(self, response: requests.Response, *, url: str, what: str) -> None:
        self._response = response
        self._url = url
        self._what = what
        length = response.headers.get("Content-Length", "")
        plain = length.isascii() and length.isdigit() and not is_encoded(response)
        self.length = int(length[:19]) if plain else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, whether all has come or not."""
        self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces.

        Raises:
            ServiceUnavailable: It broke off before its end.
        """
        with translate_errors(self._url, self._what):
            yield from pieces(self._response)


class ApiSession:
    """One user's session with the REST API; safe to use from several threads.

    Attributes:
        url: The base URL.
        username: Who is logged in.
        timeout: Seconds that an answer of the API may take.
    """

    def __init__(
        self,
        *,
        url: str,
        username: str,
        password: str,
        timeout: float = READ_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a session; nothing is sent yet.

        Args:
            url: The base URL, such as ``http://localhost:5000``.
            username: The user to log in as.
            password: That user's password.
            timeout: Seconds that an answer of the API may take, all of it; of a
                download, until its first byte.
            clock: Says how late it is, in seconds.
        """
        self.url = url
        self.username = username
        self._password = password
        self.timeout = timeout
        self._http = BoundedSession(
            agent=USER_AGENT, connections=MAX_CONNECTIONS, fixed_environment=True
        )
        self._clock = clock
        self._answered_at = -math.inf
        self._lead = dt.timedelta()
        self._login_lock = threading.Lock()
        self._logins = 0
        self._identity: tuple[int, str] | None = None
        self._version: tuple[int, str] | None = None
        self._checked: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def login(self) -> None:
        """Log in.

        Raises:
            LoginRefused: If the user or the password is wrong.
            ServiceUnavailable: If the API cannot be reached.
        """
        with self._login_lock:
            self._login()

    def cookies(self, *, renew: bool = False) -> dict[str, str]:
        """The session's cookies, for a runner that calls the API by itself.

        Args:
            renew: Log in again first.

        Returns:
            Cookie values by name.
        """
        if renew or not self._http.cookies:
            self.login()
        return {cookie.name: cookie.value or "" for cookie in self._http.cookies}

    def _login(self) -> None:
        body = {"username": self.username, "password": self._password}
        self._http.cookies.clear()
        try:
            response = self._send("POST", "auth/login", json=body)
            self._raise_for_status("POST", "auth/login", response).close()
        except (ServiceRefused, ForeignAnswer) as error:
            if isinstance(error, ForeignAnswer) and self._logins:
                raise  # it has been there, and will be again
            raise login_error(self.username, self.url, error) from None
        self._logins += 1

    def ping(self) -> None:
        """See whether the API answers as itself.

        Raises:
            ServiceUnavailable: If it does not.
        """
        self._json("GET", "users/current")

    def identity(self) -> str:
        """Tell this user of this API from all others.

        An API that is set up anew at the same address is another one, though its
        numbers begin at 1 again: its users were created at another time.
        """
        known = self._identity
        if known is None or known[0] != self._logins:
            path = "users/current"
            user = self._json("GET", path)
            with expect_shape(path):
                text = f"{self.url} {user['id']} {user['username']} {user['createdOn']}"
            known = self._identity = (self._logins, text)
        return known[1]

    def platform_version(self) -> str:
        """The platform's version; empty if it does not tell."""
        known = self._version
        if known is None or known[0] != self._logins:
            known = self._version = (self._logins, self.health().version)
        return known[1]

    def health(self) -> HealthAnswer:
        """What the API tells whoever asks, without a login."""
        timeout = (CONNECT_TIMEOUT, self.timeout)
        return ask_health(self._http, self.url, timeout=timeout)

    def check_platform(self) -> None:
        """See whether the API has what a worker needs; asked for once per login.

        Judged by what it has, since a proxy may hide its version or have one.

        Raises:
            PlatformTooOld: It does not, and says that it is older than it has to be.
            ServiceUnavailable: It does not, or cannot be reached.
        """
        if self._checked == self._logins:
            return
        logins = self._logins
        try:
            # Of no job, so that none can be in the way.
            self._json("GET", "jobs/0/log", params={"pageLength": 1})
        except PathUnknown as error:
            timeout = (CONNECT_TIMEOUT, self.timeout)
            version = ask_version(self._http, self.url, timeout=timeout)
            raise no_job_log(self.url, version, error) from error
        except LoginRefused:
            raise
        except ServiceRefused:
            pass  # by who knows the path
        except ServiceUnavailable as error:
            if error.status != requests.codes.internal_server_error:
                raise
        self._checked = logins

    def now(self) -> dt.datetime:
        """The time on the API's clock, as its answers have it.

        Times that it tells are compared with this one: our clock may be another.
        """
        return dt.datetime.now(dt.UTC) + self._lead

    def reach(self) -> None:
        """See, in far less than a request, whether anybody listens at its address.

        Whoever has answered just now does.

        Raises:
            ServiceUnavailable: If nobody does.
        """
        if self._clock() - self._answered_at < FRESH_ANSWER:
            return
        if self._http.environment_proxies(self.url):
            self.ping()  # what listens there is the proxy
            return
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname, port), CONNECT_TIMEOUT).close()
        except OSError as error:
            raise unreachable_error(self.url, error) from error

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send any request; `dioptra_worker.api.user_client` is made of these.

        Args:
            method: Such as ``"GET"``.
            path: The path behind ``/api/v1/``.
            **options: As `requests.Session.request` takes them.

        Returns:
            The JSON of the answer.
        """
        return self._json(method, path, **options)

    def pages(self, path: str, *, start: int = 0, **query: str) -> Iterator[Any]:
        """Yield the entries of a paged list; the index is a row, not a page."""
        index = start
        for _ in range(MAX_PAGES):
            paging = {"index": index, "pageLength": PAGE_LENGTH}
            entries, total = self._page(path, query | paging)
            yield from entries
            index += len(entries)
            if not entries or index >= total:
                return
        raise ServiceUnavailable(
            f"the {SERVICE} answered GET {path} with more than {MAX_PAGES:,} pages",
            service=SERVICE,
        )

    def _page(self, path: str, query: Mapping[str, Any]) -> tuple[list[Any], int]:
        """One page of a list, and how many entries all have."""
        body = self._json("GET", path, params=query)
        with expect_shape(path):
            return of_kind(body["data"], list), of_kind(body["totalNumResults"], int)

    def _mapping(self, path: str) -> dict[str, Any]:
        """GET what must be a JSON object; callers rely on it."""
        body = self._json("GET", path)
        with expect_shape(path):
            return of_kind(body, dict)

    def _json(self, method: str, path: str, **options: Any) -> Any:
        with self._send_authenticated(method, path, **options) as response:
            try:
                return strict_json.loads(response.content)
            except strict_json.NotJson as error:
                start = response.content[:80].decode("utf-8", "replace")
                raise ServiceUnavailable(
                    f"the {SERVICE} answered {method} {path} with something that is"
                    f" not JSON: {start!r} ({error}){via_proxy(self.url)}"
                    f"{check_proxy(self.url) or check_address(self.url)}",
                    service=SERVICE,
                    status=response.status_code,
                ) from error

    def _download(
        self,
        path: str,
        target: Path,
        on_bytes: OnBytes,
        *,
        params: Mapping[str, str],
        max_bytes: int,
        extra_timeout: float = 0.0,
    ) -> None:
        """Download to a file; the API may be silent *extra_timeout* seconds longer."""
        timeout = self.timeout + extra_timeout
        size = 0
        with (
            self._open(path, params=params, timeout=timeout) as download,
            target.open("wb") as file,
        ):
            for piece in download:
                size += len(piece)
                if size > max_bytes:
                    raise ArtifactError(
                        f"the {SERVICE} sends more than {shown_size(max_bytes)} for"
                        f" GET {path}"
                    )
                on_bytes(len(piece))
                file.write(piece)

    def _open(
        self, path: str, *, params: Mapping[str, str], timeout: float
    ) -> DownloadStream:
        """Begin a download that takes its time to begin."""
        with download_pace(timeout):
            response = self._send_authenticated(
                "GET",
                path,
                params=params,
                stream=True,
                timeout=(CONNECT_TIMEOUT, timeout),
            )
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if params and kind.lower() == "text/html":  # files may be of any kind
            response.close()
            raise ForeignAnswer(
                f"the {SERVICE} answered GET {path} with a web page in place of an"
                " archive",
                service=SERVICE,
                status=response.status_code,
            )
        return DownloadStream(response, url=self.url, what=f"GET {path}")

    def _send_authenticated(
        self, method: str, path: str, **options: Any
    ) -> requests.Response:
        """Send a request, logging in again once if the session was forgotten.

        A 401 or 431 says that the API did nothing, so any request may be sent again
        after it, also one that must not happen twice.
        """
        logins = self._logins
        response = self._send(method, path, **options)
        if response.status_code in _FORGOTTEN:
            response.close()
            with self._login_lock:
                if self._logins == logins:  # nobody else has meanwhile
                    self._login()
            response = self._send(method, path, **options)
            if response.status_code == requests.codes.unauthorized:
                response.close()
                raise ServiceUnavailable(
                    f"the {SERVICE} answered {method} {path} with 401 just after it had"
                    f" logged {self.username!r} in: if several of them share an"
                    " address, they must share their SECRET_KEY",
                    service=SERVICE,
                    status=response.status_code,
                )
        return self._raise_for_status(method, path, response)

    def _raise_for_status(
        self, method: str, path: str, response: requests.Response
    ) -> requests.Response:
        """Return the answer if it is a good one, and raise what it means if not."""
        if requests.codes.ok <= response.status_code < requests.codes.multiple_choices:
            return response
        # Its words may still be on their way.
        with response, translate_errors(self.url, f"{method} {path}"):
            raise status_error(method, path, response)

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        _, silence = options.setdefault("timeout", (CONNECT_TIMEOUT, self.timeout))
        with translate_errors(self.url, f"{method} {path}", silence):
            url = f"{self.url}/api/v1/{path}"
            asked = dt.datetime.now(dt.UTC)
            response = self._http.request(method, url, **options)
        if response.status_code < requests.codes.internal_server_error:
            self._answered_at = self._clock()
        self._note_time(response, asked)
        return response

    def _note_time(self, response: requests.Response, asked: dt.datetime) -> None:
        """Note how far the API's clock is ahead of ours, if its answer says so.

        It tells whole seconds, and some time between the question and its arrival:
        what is within these is no difference.
        """
        with contextlib.suppress(KeyError, ValueError, TypeError, OverflowError):
            told = parsedate_to_datetime(response.headers["Date"])
            least = told - dt.datetime.now(dt.UTC)
            most = told + dt.timedelta(seconds=1) - asked
            self._lead = min(max(self._lead, least), most)
