"""Connections to Redis, and the one place that maps what redis-py raises."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from dioptra_worker.broker.address import SETTING, parse_address
from dioptra_worker.broker.script_errors import ScriptErrorsParser
from dioptra_worker.common.network.network_errors import cause, is_connection_failure
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SERVICE = "Redis"
ANSWER_TIMEOUT = 10.0
"""Seconds that Redis may take to answer an ordinary command."""


def connect(
    url: str, block: float = 0.0, *, answer_timeout: float = ANSWER_TIMEOUT
) -> redis.Redis:
    """A connection to Redis that notices a dead peer, and a primary that is none now.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        block: Seconds that commands on it may block by intention.
        answer_timeout: Seconds that Redis may take to answer beyond that.

    Raises:
        SettingsError: If it is no address of a Redis.
    """
    options = parse_address(url)
    if "path" not in options:
        options["socket_keepalive"] = True
    pool = redis.ConnectionPool(
        **options,
        socket_timeout=block + answer_timeout,
        socket_connect_timeout=answer_timeout,
        health_check_interval=30,
        protocol=2,  # RQ's; with 3 a client asks each server for what few have
        parser_class=ScriptErrorsParser,
        retry=Retry(NoBackoff(), 1),
        # After a failover the old primary still answers: where the address leads now
        # is found out by a new connection.
        retry_on_error=[redis.ReadOnlyError],
    )
    return redis.Redis(connection_pool=pool)


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Turn what redis-py raises into `ServiceUnavailable`."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        words = f"{cause(error)} ({error})" if is_connection_failure(error) else error
        raise ServiceUnavailable(
            f"{SERVICE} cannot be reached ({SETTING}): {words}", service=SERVICE
        ) from error
    except NoPermissionError as error:
        raise ServiceUnavailable(
            f"{SERVICE} does not let its user do this any more ({SETTING}): {error}",
            service=SERVICE,
        ) from error
    except redis.RedisError as error:
        raise ServiceUnavailable(
            f"{SERVICE} does not do what it is asked ({SETTING}): {error}",
            service=SERVICE,
        ) from error


def is_wrong_type(error: Exception) -> bool:
    """Whether Redis refused a command for what it has at the key, which is another."""
    return isinstance(error, redis.ResponseError) and "WRONGTYPE" in str(error)


def texts(values: Iterable[Any]) -> Iterator[str]:
    """The values that are text; what is no UTF-8 was written by no worker or queue."""
    for value in values:
        with contextlib.suppress(UnicodeDecodeError):
            yield value.decode()
