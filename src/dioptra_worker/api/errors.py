"""What goes wrong between us and the REST API, as errors of ours with its cause."""

from __future__ import annotations

import contextlib
import email.utils
import time
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from dioptra_worker.common.network.network_errors import cause
from dioptra_worker.common.text import strict_json
from dioptra_worker.errors import (
    Conflict,
    LoginRefused,
    NotFound,
    PathUnknown,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "Dioptra API"
MAX_RETRY_AFTER = 60.0
"""Seconds after which we ask again, whatever ``Retry-After`` said."""
MAX_MESSAGE_CHARS = 2000
"""Of what the API says of a failure, for its sentence."""

_NOT_NOW = {408, 421, 425, 429, 431}
"""Statuses below 500 that are about the moment or the connection, not the request."""
_OTHER_SHAPE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
T = TypeVar("T")


@contextlib.contextmanager
def translate_errors(url: str, what: str, timeout: float = 0.0) -> Iterator[None]:
    """Turn what `requests` raises into `ServiceUnavailable`.

    Args:
        url: The setting DIOPTRA_API.
        what: What was asked, such as ``GET jobs/7``.
        timeout: Seconds that an answer may take, if the request is still to be sent.
    """
    try:
        yield
    except requests.exceptions.ReadTimeout as error:
        raise unreachable_error(url, error, f" for {what}", silence=timeout) from error
    except requests.exceptions.RequestException as error:
        raise unreachable_error(url, error, f" for {what}") from error


@contextlib.contextmanager
def expect_shape(path: str) -> Iterator[None]:
    """Turn what reading an answer of another shape raises into `ServiceUnavailable`.

    Something between us and the API answers in its place, or it is being replaced.
    """
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise ServiceUnavailable(
            f"the {SERVICE} answered GET {path} with JSON of another shape"
            f" ({cause(error)}): check that DIOPTRA_API is the address of a Dioptra"
            " REST API",
            service=SERVICE,
        ) from error


def of_kind(value: Any, kind: type[T]) -> T:
    """A value, which must be of a kind; True and False are no numbers.

    Raises:
        TypeError: It is of another kind.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{str(value)[:80]!r} is no {kind.__name__}")
    return value


def unreachable_error(
    url: str, error: Exception, asked: str = "", *, silence: float = 0.0
) -> ServiceUnavailable:
    """The error that an API which cannot be reached is.

    Args:
        url: The setting DIOPTRA_API.
        error: What was raised.
        asked: What was asked, such as `` for GET jobs/7``.
        silence: Seconds that it was silent for.
    """
    return ServiceUnavailable(
        f"the {SERVICE} cannot be reached at {url} (DIOPTRA_API){asked}:"
        f" {cause(error)}",
        service=SERVICE,
        detail=str(error),
        silence=silence,
    )


def status_error(method: str, path: str, response: requests.Response) -> ServiceError:
    """The error that an HTTP status other than 2xx stands for."""
    status = response.status_code
    try:
        body = strict_json.loads(response.content)
    except strict_json.NotJson:
        body = response.content[:500].decode("utf-8", "replace")
    if isinstance(body, dict):
        words = str(body.get("message"))[:MAX_MESSAGE_CHARS]
    else:  # a page of a proxy, maybe, of which all stands in one line here
        words = f"something that is not its JSON: {str(body)[:80]!r}"
    message = f"the {SERVICE} answered {method} {path} with {status}: {words}"
    if status == requests.codes.not_found and not isinstance(body, dict):
        # The API says in JSON which job or the like it does not find.
        return PathUnknown(message, service=SERVICE, status=status, detail=body)
    if status >= requests.codes.internal_server_error or status in _NOT_NOW:
        return ServiceUnavailable(
            message,
            service=SERVICE,
            status=status,
            detail=body,
            retry_after=_retry_after(response.headers.get("Retry-After")),
        )
    kinds: dict[int, type[ServiceRefused]] = {404: NotFound, 409: Conflict}
    kind = kinds.get(status, ServiceRefused)
    return kind(message, service=SERVICE, status=status, detail=body)


def _retry_after(retry_after: str | None) -> float | None:
    """Read ``Retry-After``: seconds, or the time until which to wait."""
    given = (retry_after or "").strip()
    if not given:
        return None
    try:
        wait = float(given)
    except ValueError:
        try:
            wait = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except (ValueError, OverflowError, OSError):  # neither
            return None
    return min(wait, MAX_RETRY_AFTER) if wait > 0 else None


def login_error(username: str, url: str, error: ServiceError) -> LoginRefused:
    """The error that a refused login is."""
    return LoginRefused(
        _login_message(username, url, error),
        service=SERVICE,
        status=error.status,
        detail=error.detail,
    )


def _login_message(username: str, url: str, error: ServiceError) -> str:
    """Tell an unknown user from a wrong password where the API does.

    Platforms from 1.2 on answer both alike, so that nobody can find out user names.
    """
    kind = error.detail.get("error") if isinstance(error.detail, dict) else None
    if kind == "UserDoesNotExistError":
        return (
            f"the {SERVICE} at {url} knows no user {username!r}: check"
            " DIOPTRA_WORKER_USERNAME, or register the user first"
        )
    if kind == "UserPasswordError":
        return (
            f"the password for user {username!r} is wrong, says the {SERVICE} at"
            f" {url}: check DIOPTRA_WORKER_PASSWORD"
        )
    if error.status == requests.codes.unauthorized:
        return (
            f"the {SERVICE} at {url} refused to log in user {username!r}: there is no"
            " such user or the password is wrong (it does not say which); check"
            " DIOPTRA_WORKER_USERNAME and DIOPTRA_WORKER_PASSWORD"
        )
    return (
        f"{url} does not log anybody in ({error.status}): check that DIOPTRA_API is"
        " the address of a Dioptra REST API"
    )
