"""Certificates that connections to S3 believe, read once for all of them.

All connections of a client share what OpenSSL knows of certificates, and each of them
reads the same file into it again, beside the handshakes of others. OpenSSL has no lock
for all that is changed then: of two first connections at once, either may crash.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

_CHANGES = ("load_verify_locations", "load_cert_chain", "set_alpn_protocols")
"""What urllib3 does with each connection anew, to what all of them share."""


def read_trust_once(client: S3Client) -> None:
    """Have a client's connections not repeat what another has done already.

    A file that was replaced meanwhile is read again.

    Args:
        client: One that has sent nothing yet.
    """
    # botocore has no other way in; it makes one for each proxy, once that is used.
    http: Any = client._endpoint.http_session  # type: ignore[attr-defined] # noqa: SLF001
    make = http._get_ssl_context  # noqa: SLF001
    http._get_ssl_context = lambda: _changed_once(make())  # noqa: SLF001
    _changed_once(http._manager.connection_pool_kw["ssl_context"])  # noqa: SLF001


def _changed_once(context: ssl.SSLContext) -> ssl.SSLContext:
    lock = threading.Lock()
    for name in _CHANGES:
        setattr(context, name, _once(getattr(context, name), lock))
    return context


def _once(change: Callable[..., None], lock: threading.Lock) -> Callable[..., None]:
    """A change that is not repeated while it would be the same."""
    done: list[object] = []

    def changed(*what: Any, **named: Any) -> None:
        # Whoever comes second has to wait: its handshake reads what is changed here.
        with lock:
            wanted = [what, named, [_version(path) for path in what]]
            if wanted not in done:
                change(*what, **named)
                done.append(wanted)

    return changed


def _version(path: object) -> tuple[int, ...] | None:
    """What tells a file from the one that it replaces."""
    if not isinstance(path, str | os.PathLike):
        return None
    try:
        found = Path(path).stat()
    except (OSError, ValueError):  # told by whoever reads it
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
