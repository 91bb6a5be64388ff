"""Connections whose answers come at a pace, or are broken off.

A socket's time-out bounds the silence between two bytes only; whoever sends one byte
after another would keep a request for ever.
"""

from __future__ import annotations

import http.client
import io
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

MIN_DOWNLOAD_RATE = 16 << 10
"""Bytes a second below which a download, for all its time, is broken off."""


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
    with _sent_at(Pace(seconds, rate=MIN_DOWNLOAD_RATE)):
        yield


@contextmanager
def answer_pace(seconds: float | None) -> Iterator[None]:
    """Let the answers in the block take no longer, if they are no downloads.

    Args:
        seconds: From the request to the last byte; None for as long as they like.
    """
    if seconds is None or _pace.get() is not None:
        yield
    else:
        with _sent_at(Pace(seconds)):
            yield


@contextmanager
def _sent_at(pace: Pace) -> Iterator[None]:
    token = _pace.set(pace)
    try:
        yield
    finally:
        _pace.reset(token)


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


POOLS = {"http": _Pool, "https": _TlsPool}
"""What makes connections whose answers are read at a pace, by the scheme."""
