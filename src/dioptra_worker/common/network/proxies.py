"""Which proxy a request goes through, in words for whoever has set the variables.

A proxy that does not lead to a service answers in its place, or not at all, and the
service's own address is then no help to anybody.
"""

from __future__ import annotations

import urllib.request
from urllib.parse import urlsplit

import requests

from dioptra_worker.common.network.addresses import shown
from dioptra_worker.common.network.network_errors import cause


def via_proxy(url: str) -> str:
    """What stands behind an address: `` through the proxy …``, or nothing.

    Args:
        url: The address that is asked.
    """
    proxy = _proxy(url)
    if proxy is None:
        return ""
    return f" through the proxy {shown(proxy)} ({_source(url, proxy)})"


def proxy_advice(url: str) -> str:
    """What to do where a request has failed: ``check …``, or nothing.

    Args:
        url: The address that was asked.
    """
    if _proxy(url) is None:
        return ""
    host = urlsplit(url).hostname
    return f"check that NO_PROXY names {host!r}, unless this proxy leads there"


def check_proxy(url: str) -> str:
    """The same as the end of a sentence: ``; check …``, or nothing.

    Args:
        url: The address that was asked.
    """
    advice = proxy_advice(url)
    return advice and f"; {advice}"


def unreachable(url: str, setting: str, error: Exception, *, asked: str = "") -> str:
    """What is said of a service that does not answer, after its name.

    Args:
        url: Its address without a password; empty where a library has found it.
        setting: The variable that names it, such as ``DIOPTRA_API``.
        error: What was raised.
        asked: What was asked, such as `` for GET jobs/7``.
    """
    at = f" at {url}" if url else ""
    return (
        f"cannot be reached{at} ({setting}){asked}{via_proxy(url)}: {cause(error)}"
        f"{check_proxy(url)}"
    )


def _proxy(url: str) -> str | None:
    found = requests.utils.get_environ_proxies(url)
    proxy = requests.utils.select_proxy(url, found)
    return None if proxy is None else str(proxy)


def _source(url: str, proxy: str) -> str:
    """The variable that names a proxy, or where else it is from (on macOS)."""
    variables = urllib.request.getproxies_environment()
    for scheme in (urlsplit(url).scheme, "all"):
        if variables.get(scheme) == proxy:
            return f"{scheme.upper()}_PROXY"
    return "a setting of this system"
