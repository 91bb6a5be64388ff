"""Whether two addresses are of one origin: what is meant for one goes to no other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import requests

if TYPE_CHECKING:
    from http.cookiejar import Cookie

NO_ORIGIN = "an address that is none"
_ODD_HOST = re.compile(r'[^/?#]*//[^/?#]*[\x00-\x20\x7f\\"<>^`{|}]')
_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> str:
    """The scheme, host and port of an address, without any password.

    An address that two readers could read in two ways, as one with a backslash before
    its ``@``, has none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return NO_ORIGIN
    if _ODD_HOST.match(url):
        return NO_ORIGIN
    host = (parts.hostname or "").rstrip(".")
    shown = f"[{host}]" if ":" in host else host
    if port in {None, _DEFAULT_PORTS.get(parts.scheme)}:
        return f"{parts.scheme}://{shown}"
    return f"{parts.scheme}://{shown}:{port}"


def may_follow(here: str, there: str) -> bool:
    """Whether a redirect leads to the same origin, or to TLS on the same host.

    Args:
        here: Where the answer came from.
        there: Where it leads.
    """
    first, second = origin(here), origin(there)
    # Both at their usual ports: somebody has put TLS before the same service.
    return first == second or first.replace("http:", "https:", 1) == second


def cookie_for(url: str, name: str, value: str) -> Cookie:
    """A cookie that is sent to the host of an address, and to no other.

    Args:
        url: The address.
        name: The cookie's name.
        value: Its value.
    """
    host = urlsplit(url).netloc.rpartition("@")[2].lower()
    host = host.rpartition("]")[0] + "]" if "]" in host else host.partition(":")[0]
    # What the standard library's cookie jar calls a host without a dot.
    domain = host if "." in host else f"{host}.local"
    created = requests.cookies.create_cookie(name, value, domain=domain)  # type: ignore[no-untyped-call]
    return cast("Cookie", created)
