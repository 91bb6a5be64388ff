"""What ``--wait-for`` waits for, and how long."""

from __future__ import annotations

import logging
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.daemon.wait_for_ports import Address, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _listening(port: int = 0) -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", port)) as server:
        yield Address("127.0.0.1", server.getsockname()[1])


def _closed() -> Address:
    with _listening() as address:
        return address


def _never(_seconds: float) -> bool:
    raise AssertionError("there was nothing to wait for")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("redis:6379", "redis", 6379),
        ("my-api.example.org:80", "my-api.example.org", 80),
        ("[::1]:5000", "::1", 5000),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    """An address is read from, and written as, what the command line has."""
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "redis", ":6379", "redis:", "redis:0", "redis:65536", "::1", "a b:c"]
)
def test_no_addresses(text: str) -> None:
    """What is no address is quoted, beside one that is."""
    with pytest.raises(ValueError, match="HOST:PORT, such as redis:6379") as caught:
        Address.parse(text)
    assert repr(text) in str(caught.value)


def test_open_already() -> None:
    """Who listens already is not waited for."""
    with _listening() as one, _listening() as other:
        assert wait_for([one, other, one], pause=_never)


def test_opens_later(caplog: pytest.LogCaptureFixture) -> None:
    """Waiting ends when the last address opens, and is told of once."""
    caplog.set_level(logging.INFO)
    address = _closed()
    servers: list[socket.socket] = []
    backoff: list[float] = []

    def pause(seconds: float) -> bool:
        backoff.append(seconds)
        if len(backoff) == 2:
            servers.append(socket.create_server((address.host, address.port)))
        return False

    try:
        with _listening() as open_already:
            assert wait_for([open_already, address], pause=pause)
    finally:
        for server in servers:
            server.close()
    assert len(backoff) == 2
    (line,) = caplog.messages
    assert f"waiting for {address}," in line
    assert str(open_already) not in line


def test_never_opens(caplog: pytest.LogCaptureFixture) -> None:
    """When the time is up the worker starts all the same, with a warning."""
    address = _closed()
    assert wait_for([address], pause=_never, seconds=0.0)
    (line,) = caplog.messages
    assert line.startswith(f"--wait-for: {address} did not open within 0 s")


def test_broken_off() -> None:
    """Whoever stops the worker does not wait for the address."""
    assert not wait_for([_closed()], pause=lambda _seconds: True)
