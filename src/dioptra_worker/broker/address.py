"""The address of a Redis: what may stand in it, and what a connection makes of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from dioptra_worker.errors import SettingsError

SETTING = "RQ_REDIS_URI"
SCHEMES = ("redis", "rediss", "unix")
OURS = frozenset(
    {
        "decode_responses",
        "encoding",
        "encoding_errors",
        "health_check_interval",
        "max_connections",
        "protocol",
        "retry_on_error",
        "retry_on_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_timeout",
        "timeout",
    }
)
"""Options of an address that say how a client talks: the worker decides that itself."""
TAKEN = frozenset({"client_name", "db", "password", "username", "virtual_host"})
"""Options that say where to, and who we are; those of TLS begin with ``ssl_``."""
ENCODING = "in a password, / is written %2F, # %23, ? %3F, @ %40 and % %25"


def parse_address(url: str) -> dict[str, Any]:
    """What a connection to an address is made with.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.

    Returns:
        Arguments of redis-py's connections, and which class, without those in `OURS`.

    Raises:
        SettingsError: If it is none; the text says why.
    """
    try:
        return _parse(url)
    except ValueError as error:
        raise SettingsError([f"{SETTING} is no address of a Redis: {error}"]) from None


def _parse(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError("it must begin with redis://, rediss:// or unix://")
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("it names no socket, such as unix:///run/redis.sock")
    elif not parts.hostname:
        raise ValueError(f"it names no host ({ENCODING})")
    else:
        try:
            _ = parts.port
        except ValueError:  # whose words may show a part of a password
            raise ValueError(f"its port is no number ({ENCODING})") from None
        database = parts.path.strip("/")
        if database and not database.isdecimal():
            raise ValueError(f"its database is no number ({ENCODING})")
    _check_options(parts.query)
    from redis.connection import parse_url  # noqa: PLC0415 - a tenth of a second

    found = dict(parse_url(url))  # type: ignore[no-untyped-call]
    return {name: value for name, value in found.items() if name not in OURS}


def _check_options(query: str) -> None:
    for name in parse_qs(query, keep_blank_values=True):
        if name not in TAKEN | OURS and not name.startswith("ssl_"):
            raise ValueError(f"it has the option {name!r}, which no Redis has")
    database = parse_qs(query).get("db", ["0"])[0]
    if not database.isdecimal():
        raise ValueError(f"its database {database!r} is no number")
