"""The address of a Redis: what may stand in it, and what a connection makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from dioptra_worker.certificates import not_looked_at
from dioptra_worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
TLS_SCHEME = "rediss"
_CERT_REQS = ("none", "optional", "required")
_FALSE = {"0", "f", "false", "n", "no"}
"""How redis-py writes that something is not so."""
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


def unverified(url: str) -> Iterator[tuple[str, str]]:
    """Which option of an address has Redis' certificate, or its name, not looked at.

    Args:
        url: What `parse_address` takes.

    Yields:
        One sentence, which names the option and what comes of it, and what to do
        instead; none if all is looked at.
    """
    if urlsplit(url).scheme != TLS_SCHEME:
        return
    options = _options(urlsplit(url).query)
    if options.get("ssl_cert_reqs") == "none":
        yield (
            not_looked_at(f"{SETTING} has ssl_cert_reqs=none", "Redis"),
            "take the option out; ssl_ca_certs=FILE can name what to believe",
        )
    elif (given := options.get("ssl_check_hostname", "")).lower() in _FALSE:
        words = (
            f"{SETTING} has ssl_check_hostname={given}: whom the certificate of Redis"
            " is for is not looked at, so any host that has a certificate which is"
            " trusted here is believed, and is sent the password"
        )
        yield words, "take the option out, and name Redis as its certificate does"


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
    _check_options(parts.scheme, parts.query)
    from redis.connection import parse_url  # noqa: PLC0415 - a tenth of a second

    found = dict(parse_url(url))  # type: ignore[no-untyped-call]
    if parts.scheme == TLS_SCHEME:  # which redis-py looks at by itself since 6.0
        verified = found.get("ssl_cert_reqs") != "none"
        found["ssl_check_hostname"] = verified and found.get("ssl_check_hostname", True)
    return {name: value for name, value in found.items() if name not in OURS}


def _options(query: str) -> dict[str, str]:
    """The options of an address, as redis-py reads them."""
    return {name: unquote(values[0]) for name, values in parse_qs(query).items()}


def _check_options(scheme: str, query: str) -> None:
    for name in parse_qs(query, keep_blank_values=True):
        if name.startswith("ssl_"):
            if scheme != TLS_SCHEME:
                raise ValueError(
                    f"{name} is an option of {TLS_SCHEME}://, not {scheme}://"
                )
        elif name not in TAKEN | OURS:
            raise ValueError(f"it has the option {name!r}, which no Redis has")
    options = _options(query)
    if not (database := options.get("db", "0")).isdecimal():
        raise ValueError(f"its database {database!r} is no number")
    if (needed := options.get("ssl_cert_reqs", _CERT_REQS[0])) not in _CERT_REQS:
        raise ValueError(
            f"its ssl_cert_reqs={needed} is none of {', '.join(_CERT_REQS)}"
        )
