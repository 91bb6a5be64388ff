"""One session with the REST API: time limits, retries, and who is speaking.

Three rules hold for every request: it has a time limit; it is sent again after a
connection error only if sending it twice is harmless; and when it speaks with the
worker's session and that has run out (401), the session is renewed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import requests
from urllib3 import Retry

from dioptra_worker.api import USER_AGENT
from dioptra_worker.common.network.answer_pieces import pieces
from dioptra_worker.common.network.bounded_http import BoundedSession
from dioptra_worker.common.network.origins import cookie_for
from dioptra_worker.common.network.paced_connections import download_pace
from dioptra_worker.common.text import strict_json
from dioptra_worker.sdk.client.errors import (
    APIConnectionError,
    DioptraClientError,
    JSONDecodeError,
    StatusCodeError,
)
from dioptra_worker.sdk.client.files import DioptraFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dioptra_worker.sdk.worker.bridge import Bridge, Session

API_ROOT: Final = "api/v1"
_SUCCESS: Final = 2
_UNAUTHORIZED: Final = 401


@dataclass(frozen=True)
class Patience:
    """How long a client waits for the API.

    Attributes:
        connect: Seconds for a connection to come about.
        read: Seconds that an answer may take, or a download until its first byte.
        attempts: How often a request is sent that does no harm when it is repeated.
        backoff: Seconds before the first repetition but one; then it doubles.
    """

    connect: float = 10.0
    read: float = 60.0
    attempts: int = 4
    backoff: float = 0.5


USUAL: Final = Patience()


@runtime_checkable
class DioptraResponseProtocol(Protocol):
    """What a response has, for code that only reads it."""

    @property
    def request(self) -> Any:
        """The request, with ``method`` and ``url``."""
        ...

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        ...

    @property
    def text(self) -> str:
        """The body."""
        ...

    def json(self) -> Any:
        """Return the body, parsed."""
        ...


class Transport:
    """Sends requests to one API and gives answers in one flavour.

    Args:
        address: The API's address without ``/api/v1``; None for that of the bridge.
        parse: Whether answers are parsed JSON and errors are raised (``"json"``), or
            every answer is a response object (``"response"``).
        bridge: The runner's bridge, to speak with the worker's session.
        patience: How long to wait for answers.
    """

    def __init__(
        self,
        address: str | None,
        *,
        parse: bool,
        bridge: Bridge | None = None,
        patience: Patience = USUAL,
    ) -> None:
        self._patience = patience
        self._address = address
        self.bridge = bridge
        self._parse = parse
        self._session: requests.Session | None = None

    @property
    def url(self) -> str:
        """The API's root; asks the bridge for it if need be."""
        if self._address is None and self.bridge is not None:
            # Not before: a client can be made, and hand over metrics, in an outage.
            self._address = self.bridge.session().url
        return self.where("")

    def where(self, path: str) -> str:
        """Return the address of a path, as far as it is known without asking."""
        return f"{(self._address or '').rstrip('/')}/{API_ROOT}{path}"

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, DioptraFile | Sequence[DioptraFile]] | None = None,
    ) -> Any:
        """Send a request and give the answer in this transport's flavour.

        Args:
            method: The HTTP method.
            path: The path below the API's root, such as ``/jobs/1``.
            params: The query.
            json: The body, to be sent as JSON.
            form: The fields of a multipart body.
            files: The files of a multipart body.

        Raises:
            APIConnectionError: The API could not be reached, or did not answer.
            StatusCodeError: It answered with something else than 2xx ("json" only).
            JSONDecodeError: It answered with something else than JSON ("json" only).
        """
        arguments: dict[str, Any] = {"params": params or None, "json": json}
        if form or files:
            arguments["files"] = _multipart(form or {}, files or {})
        return self.answer(self._request(method, path, **arguments))

    def answer(self, response: requests.Response) -> Any:
        """Give a response in this transport's flavour.

        Raises:
            StatusCodeError: Its status is something else than 2xx ("json" only).
            JSONDecodeError: It is something else than JSON ("json" only).
        """
        if not self._parse:
            return response
        _check(response)
        try:
            return strict_json.loads(response.content)
        except strict_json.NotJson as error:
            raise JSONDecodeError(
                f"{_name(response)} was answered with something else than JSON"
                f" ({error}): {response.content[:200].decode('utf-8', 'replace')!r}"
            ) from error

    def download(
        self, path: str, target: Path, params: Mapping[str, Any] | None = None
    ) -> Path:
        """Save the body of an answer to a file, which appears only when it is whole.

        Args:
            path: The path below the API's root.
            target: The file; folders on the way are made.
            params: The query.

        Raises:
            DioptraClientError: The target is a directory.
            APIConnectionError: The API could not be reached, or broke off.
            StatusCodeError: It answered with something else than 2xx.
        """
        if target.is_dir():
            raise DioptraClientError(
                f"cannot save to {str(target)!r}: it is a directory; "
                "give another 'file_stem'"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.part")
        try:
            with (
                download_pace(self._patience.read),
                self._request("GET", path, params=params, stream=True) as response,
            ):
                _check(response)
                with partial.open("wb") as file:
                    file.writelines(pieces(response))
            return partial.replace(target)
        except OSError as error:  # RequestException is one: the connection broke
            raise _unreachable("GET", self.url + path, error) from error
        finally:
            partial.unlink(missing_ok=True)

    def forget_worker(self) -> None:
        """Speak for whoever logs in here, no longer for the worker."""
        if self.bridge is not None:
            self._open().cookies.clear()
            self._address = self.bridge.session().url
            self.bridge = None

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        response = self._once(method, path, **arguments)
        if self.bridge is not None and response.status_code == _UNAUTHORIZED:
            response.close()
            self._use(self.bridge.renew())
            for _, (_, stream, *_) in arguments.get("files") or ():
                if hasattr(stream, "seek"):
                    stream.seek(0)
            response = self._once(method, path, **arguments)
        return response

    def _once(self, method: str, path: str, **arguments: Any) -> requests.Response:
        url = self.url + path
        try:
            limits = (self._patience.connect, self._patience.read)
            return self._open().request(method, url, timeout=limits, **arguments)
        except requests.RequestException as error:
            raise _unreachable(method, url, error) from error

    def _open(self) -> requests.Session:
        if self._session is None:
            self._session = _new_session(self._patience)
            if self.bridge is not None:
                self._use(self.bridge.session())
        return self._session

    def _use(self, session: Session) -> None:
        cookies = self._open().cookies
        cookies.clear()
        for name, value in session.cookies.items():
            cookies.set_cookie(cookie_for(session.url, name, value))


def _new_session(patience: Patience) -> requests.Session:
    # urllib3 repeats any method when no connection came about, and only the idempotent
    # ones when it broke later. It never repeats because of a status here: the caller
    # sees every answer that the API gave.
    retry = Retry(
        total=patience.attempts - 1,
        status=0,
        other=0,
        backoff_factor=patience.backoff,
        backoff_jitter=patience.backoff / 2,
        respect_retry_after_header=False,
    )
    return BoundedSession(agent=USER_AGENT, retries=retry)


def _multipart(
    form: Mapping[str, str], files: Mapping[str, DioptraFile | Sequence[DioptraFile]]
) -> list[tuple[str, tuple[Any, ...]]]:
    parts: list[tuple[str, tuple[Any, ...]]] = [
        (name, (None, value)) for name, value in form.items()
    ]
    for name, given in files.items():
        several = [given] if isinstance(given, DioptraFile) else given
        parts.extend((name, file.part()) for file in several)
    return parts


def _check(response: requests.Response) -> None:
    if response.status_code // 100 != _SUCCESS:
        raise StatusCodeError(response.status_code, response.text)


def _name(response: requests.Response) -> str:
    return f"{response.request.method} {response.request.url}"


def _unreachable(method: str, url: str, error: Exception) -> APIConnectionError:
    return APIConnectionError(f"{method} {url} got no answer: {error}")
