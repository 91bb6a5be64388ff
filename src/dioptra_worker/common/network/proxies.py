"""Which proxy a request goes through, in words for whoever has set the variables.

A proxy that does not lead to a service answers in its place, or not at all, and the
service's own address is then no help to anybody.
"""

from __future__ import annotations

import urllib.request
from urllib.parse import urlsplit

import requests


def via_proxy(url: str) -> str:
    """What stands behind an address: `` through the proxy …``, or nothing.

    Args:
        url: The address that is asked.
    """
    proxy = _proxy(url)
    if proxy is None:
        return ""
    parts = urlsplit(proxy)
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return f" through the proxy {place} ({_source(url, proxy)})"


def check_proxy(url: str) -> str:
    """What to do where a request has failed: ``; check …``, or nothing.

    Args:
        url: The address that was asked.
    """
    if _proxy(url) is None:
        return ""
    host = urlsplit(url).hostname
    return f"; check that NO_PROXY names {host!r}, unless this proxy leads there"


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
