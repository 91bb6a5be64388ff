"""What goes wrong between us and the REST API, as errors of ours with its cause."""

from __future__ import annotations

import contextlib
import email.utils
import json
import time
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from dioptra_worker.common.network.network_errors import cause
from dioptra_worker.common.network.proxies import check_proxy, unreachable, via_proxy
from dioptra_worker.common.text import strict_json
from dioptra_worker.errors import (
    Conflict,
    ForeignAnswer,
    LoginRefused,
    NotFound,
    PathUnknown,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVICE = "Dioptra API"
MAX_RETRY_AFTER = 60.0
"""Seconds after which we ask again, whatever ``Retry-After`` said."""
MAX_MESSAGE_CHARS = 2000
"""Of what the API says of a failure, for its sentence."""

_NOT_NOW = {408, 421, 425, 429, 431}
"""Statuses below 500 that are about the moment or the connection, not the request."""
_REFUSED_BY_ANYBODY = {413}
"""Statuses that settle a request whoever gives them: it is as large the next time."""
OTHER_SHAPE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading an answer of another shape raises."""
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
    except OTHER_SHAPE as error:
        raise ServiceUnavailable(
            f"the {SERVICE} answered GET {path} with JSON of another shape"
            f" ({cause(error)}): check that DIOPTRA_API is the address of a Dioptra"
            " REST API",
            service=SERVICE,
        ) from error


def check_address(url: str) -> str:
    """The way out where perhaps it is no API that answers.

    Args:
        url: The API's address, or one below it.
    """
    address = url.partition("/api/v1/")[0]
    return f": check that DIOPTRA_API, {address}, is the address of a Dioptra REST API"


def of_kind(value: Any, kind: type[T]) -> T:
    """A value, which must be of a kind; True and False are no numbers.

    Raises:
        TypeError: It is of another kind.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{str(value)[:80]!r} is no {kind.__name__}")
    return value


def refuse_deleted(body: Mapping[str, Any], what: str) -> None:
    """See that what the API shows is not one that it keeps and calls deleted.

    Args:
        body: What it shows.
        what: What that is, such as ``job 7``.

    Raises:
        NotFound: It is deleted.
    """
    if body.get("deleted") is True:
        raise NotFound(f"the {SERVICE} says that {what} is deleted", service=SERVICE)


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
        f"the {SERVICE} {unreachable(url, 'DIOPTRA_API', error, asked=asked)}",
        service=SERVICE,
        detail=str(error),
        silence=silence,
    )


def status_error(method: str, path: str, response: requests.Response) -> ServiceError:
    """The error that an HTTP status other than 2xx stands for.

    What the API refuses, it says in JSON of its shape. Anything else below 500 is by
    something in front of it, which decides nothing about a job.
    """
    status = response.status_code
    try:
        body = strict_json.loads(response.content)
    except strict_json.NotJson:
        body = response.content[:500].decode("utf-8", "replace")
    own_words = _own_words(body)
    words = own_words or (
        f"something that is not its JSON: {str(body)[:80]!r}{_by_a_proxy(response)}"
    )
    message = f"the {SERVICE} answered {method} {path} with {status}: {words}"
    by_a_page = status < requests.codes.internal_server_error and own_words is None
    if by_a_page or (status == requests.codes.not_found and not _names_error(body)):
        message += check_address(response.url)
    retry_after = _retry_after(response.headers.get("Retry-After"))
    if status == requests.codes.not_found and not _names_error(body):
        return PathUnknown(message, service=SERVICE, status=status, detail=body)
    if status >= requests.codes.internal_server_error or status in _NOT_NOW:
        return ServiceUnavailable(
            message,
            service=SERVICE,
            status=status,
            detail=body,
            retry_after=retry_after,
        )
    if own_words is None and status not in _REFUSED_BY_ANYBODY:
        return ForeignAnswer(
            message,
            service=SERVICE,
            status=status,
            detail=body,
            retry_after=retry_after,
        )
    kinds: dict[int, type[ServiceRefused]] = {404: NotFound, 409: Conflict}
    kind = kinds.get(status, ServiceRefused)
    return kind(message, service=SERVICE, status=status, detail=body)


def _by_a_proxy(response: requests.Response) -> str:
    """Who has perhaps answered in its place."""
    via = via_proxy(response.url)
    return via and f", {via.strip()}{check_proxy(response.url)}"


def _own_words(body: object) -> str | None:
    """What the API says of a failure; None of what is not its shape."""
    if not isinstance(body, dict):
        return None
    message, errors = body.get("message"), body.get("errors")
    if isinstance(message, str) and message:
        return message[:MAX_MESSAGE_CHARS]
    if isinstance(errors, dict) and errors:  # of the request's fields, by name
        return json.dumps(errors)[:MAX_MESSAGE_CHARS]
    return None


def _names_error(body: object) -> bool:
    """Whether it is said which error of the API's this is, as of what it has not.

    Gateways have a message in JSON, too, for paths that they do not know.
    """
    return isinstance(body, dict) and isinstance(body.get("error"), str)


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
        f"{url} does not log anybody in{via_proxy(url)} ({error.status}): check that"
        f" DIOPTRA_API is the address of a Dioptra REST API{check_proxy(url)}"
    )
