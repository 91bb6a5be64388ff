"""Redis: the version, whether it keeps what it holds, and a queue's round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError

from dioptra_worker.broker.connection import connect, translate_errors
from dioptra_worker.broker.rights import RULES, check_rights
from dioptra_worker.errors import ServiceRefused, ServiceUnavailable, SettingsError
from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import redis

NAME = "Redis"
MIN_VERSION = (6, 2)
"""The first version with LMOVE and BLMOVE, by which jobs are taken."""
SUSPENDED = "rq:suspended"

_FIXES = {
    "username-password": "correct the user and the password in RQ_REDIS_URI",
    "wrongpass": "correct the user and the password in RQ_REDIS_URI",
    "authenticat": "put the password into RQ_REDIS_URI (redis://:PASSWORD@HOST)",
    "noauth": "put the password into RQ_REDIS_URI (redis://:PASSWORD@HOST)",
    "read only": "RQ_REDIS_URI names a replica: name the primary",
    "no permission": "allow this user's commands on rq:* and dioptra-worker:* (ACL)",
    "noperm": "allow this user's commands on rq:* and dioptra-worker:* (ACL)",
    "certificate": "make the certificate's authority known, or correct the host in"
    " RQ_REDIS_URI",
}
REACH = "start Redis, or correct RQ_REDIS_URI; from here its host and port must be open"


def check(url: str) -> Iterator[Finding]:
    """Check Redis.

    Args:
        url: The setting RQ_REDIS_URI.
    """
    try:
        connection = connect(url)
    except SettingsError as error:
        yield fail(NAME, str(error), "correct RQ_REDIS_URI")
        return
    try:
        facts = yield from version(connection)
        if facts is None:
            return
        yield persistence(connection, facts)
        yield from _eviction(facts)
        yield _rights(connection)
        yield _suspension(connection)
    except ServiceUnavailable as error:
        yield _away(error)
    finally:
        connection.close()


def version(
    connection: redis.Redis,
) -> Generator[Finding, None, dict[str, Any] | None]:
    """Check that Redis answers and is new enough.

    Yields:
        One finding.

    Returns:
        What Redis tells of itself, None when it is too old.
    """
    try:
        with translate_errors():
            facts: dict[str, Any] = dict(connection.info())
    except ServiceUnavailable as error:
        if not isinstance(error.__cause__, NoPermissionError):
            raise
        words = "its version is not told to this user"
        yield ok(NAME, f"it answers at {where(connection)}; {words}")
        return {}
    text = str(facts.get("redis_version", ""))
    valkey = facts.get("valkey_version")
    shown = f"Valkey {valkey}" if valkey else f"Redis {text}"
    if not _at_least(text):
        needed = ".".join(map(str, MIN_VERSION))
        yield fail(NAME, f"{shown} is too old", f"run Redis {needed} or newer")
        return None
    yield ok(NAME, f"{shown} answers at {where(connection)}")
    return facts


def persistence(connection: redis.Redis, facts: dict[str, Any]) -> Finding:
    """Check that queued jobs survive a restart of Redis."""
    name = "Redis persistence"
    if facts.get("aof_enabled"):
        if facts.get("aof_last_write_status", "ok") != "ok":
            return warn(name, "the append-only file cannot be written", "see its log")
        return ok(name, "append-only file")
    try:
        with translate_errors():
            saves = dict(connection.config_get("save")).get("save")
    except ServiceUnavailable:  # hosted ones forbid CONFIG
        return warn(
            name,
            "there is no append-only file, and whether it takes snapshots is not told",
            "make sure that it does: queued jobs must survive a restart",
        )
    if not saves:
        return warn(
            name,
            "neither append-only file nor snapshots: a restart forgets queued jobs,"
            " which are enqueued again only after DIOPTRA_WORKER_LOST_AFTER",
            "start Redis with --appendonly yes",
        )
    if facts.get("rdb_last_bgsave_status", "ok") != "ok":
        return warn(name, "the last snapshot failed", "see Redis's log")
    return ok(name, f"snapshots ({saves})")


def _eviction(facts: dict[str, Any]) -> Iterator[Finding]:
    policy = str(facts.get("maxmemory_policy", "noeviction"))
    if facts.get("maxmemory") and policy != "noeviction":
        yield warn(
            "Redis memory",
            f"when its memory is full it forgets keys, jobs among them ({policy})",
            "set maxmemory-policy to noeviction",
        )


def _rights(connection: redis.Redis) -> Finding:
    """Do, with keys of our own, what a worker does: move entries, write books."""
    name = "Redis queue"
    try:
        check_rights(connection)
    except ServiceRefused as error:
        return fail(NAME, str(error), f"ACL SETUSER USER {' '.join(RULES)}")
    return ok(name, "an entry moved from list to list and was removed")


def _suspension(connection: redis.Redis) -> Finding:
    name = "Redis workers"
    with translate_errors():
        suspended = bool(connection.exists(SUSPENDED))
    if suspended:
        return warn(name, "all workers are suspended by 'rq suspend'", "run: rq resume")
    return ok(name, "not suspended")


def where(connection: redis.Redis) -> str:
    """Where Redis is, without user and password."""
    given = connection.connection_pool.connection_kwargs
    if "path" in given:
        return str(given["path"])
    return f"{given.get('host', 'localhost')}:{given.get('port', 6379)}"


def _away(error: ServiceUnavailable) -> Finding:
    text = str(error)
    fixes = (fix for words, fix in _FIXES.items() if words in text.lower())
    return fail(NAME, text, next(fixes, REACH))


def _at_least(text: str) -> bool:
    try:
        return tuple(int(part) for part in text.split(".")[:2]) >= MIN_VERSION
    except ValueError:
        return True  # a product that calls itself something else
