"""The module of settings that ``rq worker --config`` takes."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from dioptra_worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SERVER = ("HOST", "PORT", "DB", "PASSWORD", "SSL", "SSL_CA_CERTS", "SSL_CERT_REQS")
_UNUSED = ("DICT_CONFIG", "SENTRY_CA_CERTS", "SENTRY_DEBUG", "SENTRY_DSN")
_YES = {"y", "yes", "t", "true"}
_NO = {"n", "no", "f", "false", ""}


@dataclass(frozen=True, kw_only=True)
class RqConfig:
    """What a module of RQ's settings says that has a meaning here.

    Attributes:
        queues: Queues to serve, if the command line names none.
        name: The worker's name, if the command line has none.
        redis_url: The address of Redis.
        unused: Its settings that change nothing.
    """

    queues: tuple[str, ...] = ()
    name: str | None = None
    redis_url: str | None = None
    unused: tuple[str, ...] = ()


def read_config(module: str, *, path: Sequence[str]) -> RqConfig:
    """Import a module of RQ's settings and read it, as RQ does.

    Args:
        module: Its name, such as ``settings`` or ``site.rq``.
        path: Folders to look for it in, after those where modules are installed; the
            current one if none is given.

    Raises:
        SettingsError: It cannot be imported, or its address of Redis is none.
    """
    before = list(sys.path)
    sys.path += path or ["."]
    try:
        found = vars(importlib.import_module(module))
    except Exception as error:
        raise _unusable(module, f"it cannot be imported: {error}") from error
    finally:
        sys.path[:] = before
    settings = {name: value for name, value in found.items() if name.isupper()}
    queues, name = settings.get("QUEUES") or (), settings.get("NAME")
    if isinstance(queues, str) or not all(isinstance(queue, str) for queue in queues):
        raise _unusable(module, f"QUEUES must be a list of names, not {queues!r}")
    return RqConfig(
        queues=tuple(queues),
        name=None if name is None else str(name),
        redis_url=_redis_url(module, settings),
        unused=tuple(each for each in _UNUSED if settings.get(each) is not None),
    )


def _redis_url(module: str, settings: Mapping[str, Any]) -> str | None:
    if settings.get("REDIS_URL") is not None:
        return str(settings["REDIS_URL"])
    if settings.get("SENTINEL") is not None:
        raise _unusable(
            module,
            "Redis Sentinel is not spoken, nor is it by the REST API: name an address"
            " that leads to the primary as REDIS_URL",
        )
    server = {
        key: settings[f"REDIS_{key}"]
        for key in _SERVER
        if settings.get(f"REDIS_{key}") is not None
    }
    if not server:
        return None
    with_tls = server.get("SSL", False)
    if isinstance(with_tls, str):
        if with_tls.lower() not in _YES | _NO:
            raise _unusable(module, f"REDIS_SSL: {with_tls!r} is no yes or no")
        with_tls = with_tls.lower() in _YES
    password = server.get("PASSWORD")
    login = "" if password is None else f":{quote(str(password), safe='')}@"
    query = {
        key.lower(): str(server[key])
        for key in ("SSL_CA_CERTS", "SSL_CERT_REQS")
        if with_tls and key in server
    }
    scheme, host = "rediss" if with_tls else "redis", server.get("HOST", "localhost")
    return (
        f"{scheme}://{login}{host}:{server.get('PORT', 6379)}/{server.get('DB', 0)}"
        f"{'?' if query else ''}{urlencode(query)}"
    )


def _unusable(module: str, reason: str) -> SettingsError:
    return SettingsError([f"--config {module!r} cannot be used: {reason}"])
