"""Why a connection failed, in words that name what to look at."""

from __future__ import annotations

import socket
import ssl

import pytest
import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from dioptra_worker.common.network.network_errors import cause, is_connection_failure


def _raised(error: BaseException, *wrappers: type[Exception]) -> BaseException:
    """An error as libraries hand it on: each wrapper raised from the one inside."""
    for wrapper in wrappers:
        outer = wrapper("something went wrong")
        outer.__context__ = error
        error = outer
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "does not know its host"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "does not speak TLS as we do"),
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens there"),
        (TimeoutError("timed out"), "did not answer in time"),
        (
            TimeoutError("_ssl.c:989: The handshake operation timed out"),
            "perhaps does not speak TLS",
        ),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_the_innermost_error_speaks(error: OSError, words: str) -> None:
    """However deeply a library wraps what the system said, that is what is told."""
    wrapped = _raised(error, RuntimeError, ValueError)
    assert words in cause(wrapped)
    assert is_connection_failure(wrapped)


def test_an_error_of_another_kind() -> None:
    """What is no failed connection is told as it is."""
    error = _raised(KeyError("config"), ValueError)
    assert cause(error) == "KeyError: 'config'"
    assert not is_connection_failure(error)


def test_libraries_keep_the_chain() -> None:
    """`requests` and redis-py let the system's error be found in what they raise."""
    with pytest.raises(requests.ConnectionError) as from_requests:
        requests.get("http://no-such-host.invalid", timeout=5)
    assert "host name" in cause(from_requests.value)
    client = redis.Redis(host="no-such-host.invalid", retry=Retry(NoBackoff(), 0))
    with pytest.raises(redis.ConnectionError) as from_redis:
        client.ping()
    client.close()
    assert "host name" in cause(from_redis.value)
