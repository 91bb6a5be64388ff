"""Connections to S3 whose answers are bounded as a whole.

botocore bounds the silence between two bytes: a store that sends one now and then, or
``100 Continue`` again and again, would hold a job for as long as it likes.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPResponse,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from dioptra_worker.common.network.paced_connections import (
    MIN_DOWNLOAD_RATE,
    Pace,
    PacedSocket,
)

if TYPE_CHECKING:
    import socket

    from mypy_boto3_s3 import S3Client

ANSWER_TIMEOUT = 300.0
"""Seconds that a store may take for an answer, beyond what `MIN_DOWNLOAD_RATE` allows.

Amazon's sends blanks for minutes while it puts the parts of a large object together.
"""


def bound_answers(client: S3Client, *, seconds: float = ANSWER_TIMEOUT) -> None:
    """Have a client wait no longer for any answer.

    Args:
        client: One that has sent nothing yet.
        seconds: How long, beyond what the pace of a download allows.
    """
    # botocore has no other way in; both hold the same mapping.
    pools = client._endpoint.http_session._pool_classes_by_scheme  # type: ignore[attr-defined] # noqa: SLF001
    pools["http"] = _pool(AWSHTTPConnectionPool, AWSHTTPConnection, seconds)
    pools["https"] = _pool(AWSHTTPSConnectionPool, AWSHTTPSConnection, seconds)


def _pool(pool: Any, connection: Any, seconds: float) -> Any:
    answer = staticmethod(functools.partial(_Answer, seconds=seconds))
    about = {"seconds": seconds, "response_class": answer}
    bounded = type("Connection", (_Bounded, connection), about)
    return type("Pool", (pool,), {"ConnectionCls": bounded})


class _Answer(AWSHTTPResponse):
    """An answer that is read at a pace.

    Attributes:
        fp: What is read.
    """

    fp: Any

    def __init__(
        self, sock: socket.socket, *args: Any, seconds: float, **options: Any
    ) -> None:
        super().__init__(sock, *args, **{"status_tuple": None, **options})
        self.fp = io.BufferedReader(_paced(self.fp.detach(), sock, seconds))


class _Bounded:
    """A connection that looks at a pace, too, whether it may go on with its request."""

    seconds: float
    sock: Any
    response_class: Any
    _response_received: bool

    def _handle_expect_response(self, message_body: Any) -> None:
        sock = self.sock
        self.sock = paced = _PacedReading(sock, self.seconds)
        try:
            super()._handle_expect_response(message_body)  # type: ignore[misc]
        finally:
            if self.sock is paced:  # and is not closed
                self.sock = sock
        if self._response_received:  # it is the answer that has begun
            begun = self.response_class.keywords
            self.response_class = functools.partial(
                _Answer, seconds=self.seconds, **begun
            )


class _PacedReading:
    """A socket of which what is read comes at a pace."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def makefile(self, mode: str, buffering: int) -> io.RawIOBase:
        raw: Any = self._sock.makefile(mode, buffering)  # type: ignore[call-overload]
        return _paced(raw, self._sock, self._seconds)


def _paced(raw: io.RawIOBase, sock: socket.socket, seconds: float) -> PacedSocket:
    return PacedSocket(raw, sock, Pace(seconds, rate=MIN_DOWNLOAD_RATE))
