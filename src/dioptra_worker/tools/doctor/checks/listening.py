"""Whether anything listens at an address: told before slow libraries are imported."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from dioptra_worker.common.network.addresses import shown
from dioptra_worker.common.network.network_errors import cause
from dioptra_worker.common.network.proxies import via_proxy
from dioptra_worker.tools.doctor.finding import Finding, fail

_PORTS = {"http": 80, "https": 443}
_TIMEOUT = 1.0
"""Seconds; an address that does not refuse by then is left to the check itself."""


def refusal(name: str, url: str, fix: str) -> Finding | None:
    """What is found where a machine says that nothing listens at an address.

    Whatever else may be wrong there, the check finds out with the library that jobs
    use.

    Args:
        name: The check's.
        url: The address of a service.
        fix: What to do then.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not host or not port or via_proxy(url):
        return None
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT).close()
    except ConnectionRefusedError as error:
        return fail(name, f"{shown(url)} cannot be reached: {cause(error)}", fix)
    except OSError:
        return None
    return None
