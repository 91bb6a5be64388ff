"""Why a connection failed, in words for whoever set its address."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from dioptra_worker.engine.wording import format_exception

if TYPE_CHECKING:
    from collections.abc import Iterator


def cause(error: BaseException) -> str:
    """Say why a connection failed.

    Libraries wrap what the system told them, each in a layer of its own; the innermost
    error says most.

    Args:
        error: What a library raised.
    """
    chain = list(_chain(error))
    for each in reversed(chain):
        words = _known(each)
        if words:
            return words
    root = chain[-1]
    return format_exception(root)


def is_connection_failure(error: BaseException) -> bool:
    """Whether there was no answer at all, for a reason that `cause` knows."""
    return any(_known(each) for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, the innermost last."""
    inner: BaseException | None = error
    while inner is not None:
        yield inner
        inner = inner.__cause__ or inner.__context__


def _known(error: BaseException) -> str:
    match error:
        case socket.gaierror():
            return "this machine does not know its host name"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted here: {error.verify_message}"
        case ssl.SSLError():
            reason = getattr(error, "reason", None) or error
            return f"what answers there does not speak TLS as we do: {reason}"
        case ConnectionRefusedError():
            return "nothing listens there: connection refused"
        case TimeoutError() if "handshake" in str(error):
            return "it did not answer in time and perhaps does not speak TLS"
        case TimeoutError():
            return "it did not answer in time"
        case ConnectionError():
            return f"it broke the connection off: {error.strerror or error}"
        case OSError() if error.strerror and error.errno:
            return error.strerror
    return ""
