"""Whether a user of Redis may do what a worker does, found out before it takes a job.

What is refused to a user is refused for good: to wait for it, as for a Redis that is
away, would hold a job for ever.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from redis.exceptions import NoPermissionError

from dioptra_worker.broker.address import SETTING
from dioptra_worker.broker.connection import (
    ANSWER_TIMEOUT,
    SERVICE,
    translate_errors,
)
from dioptra_worker.errors import ServiceRefused, ServiceUnavailable

if TYPE_CHECKING:
    import redis
    from redis.client import Pipeline

RULES = (
    "~rq:*",
    "~dioptra-worker:*",
    "resetchannels",  # Redis 6.2 gives a new user all of them
    "&rq:pubsub:*",
    "-@all",
    "+@read",
    "+@write",
    "+@blocking",
    "+@connection",
    "+@transaction",
    "+@scripting",
    "+@pubsub",
    "-@dangerous",
    "+info",
    "+time",
)
"""What a worker's user needs, as ``ACL SETUSER`` takes it; the documentation has it."""
TRIAL_TTL = 60
"""Seconds after which what a trial that broke off has left is gone."""


def check_rights(connection: redis.Redis) -> None:
    """Try on keys of our own what a worker does.

    Args:
        connection: To Redis.

    Raises:
        ServiceRefused: If this user may not; the text says what.
        ServiceUnavailable: If Redis is away.
    """
    token = uuid.uuid4().hex
    try:
        with translate_errors():
            for prefix in ("rq:", "dioptra-worker:"):
                # One hash slot, as a cluster wants it.
                _try_keys(connection, f"{prefix}{{trial-{token}}}")
            connection.publish(f"rq:pubsub:trial-{token}", "")
            with connection.pubsub() as listener:  # type: ignore[no-untyped-call]
                listener.subscribe(f"rq:pubsub:trial-{token}")
                listener.get_message(timeout=ANSWER_TIMEOUT)
    except ServiceUnavailable as error:
        if not isinstance(error.__cause__, NoPermissionError):
            raise
        raise ServiceRefused(
            f"{SETTING}: this user of {SERVICE} may not do what a worker does"
            f" ({error.__cause__}). It needs these rights: {' '.join(RULES)}",
            service=SERVICE,
        ) from error


def _try_keys(connection: redis.Redis, base: str) -> None:
    source, target, other = (f"{base}:{end}" for end in "abc")
    try:
        with connection.pipeline() as pipeline:
            pipeline.rpush(source, "entry")
            _fill(pipeline, other)
            for key in (source, other):
                pipeline.expire(key, TRIAL_TTL)
            pipeline.execute()
        connection.lmove(source, target, "LEFT", "RIGHT")
        connection.blmove(target, target, 1, "LEFT", "LEFT")
        script = connection.register_script(
            "redis.call('TIME') return redis.call('LLEN', KEYS[1])"
        )
        script(keys=[target])
        connection.exists(other)
    finally:
        connection.delete(source, target, other)


def _fill(pipeline: Pipeline, key: str) -> None:
    """One write of each type that RQ's books and ours have."""
    pipeline.hset(key, "field", "value")
    pipeline.delete(key)
    pipeline.zadd(key, {"member": 1})
    pipeline.delete(key)
    pipeline.sadd(key, "member")
    pipeline.delete(key)
    pipeline.set(key, "value")
    pipeline.delete(key)
    pipeline.xadd(key, {"field": "value"})
