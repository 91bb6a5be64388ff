"""Which workers there are, as RQ has them: ours, the platform's, any other."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import redis

from dioptra_worker.broker.connection import is_wrong_type, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORKERS = "rq:workers"
_QUEUES = "rq:queues"
_WORKER = "rq:worker:"
_QUEUE = "rq:queue:"
_MAX_WORKERS = 10_000
_FIELDS = (
    *("queues", "state", "current_job", "hostname", "pid", "birth"),
    *("last_heartbeat", "death"),
)


@dataclass(frozen=True, kw_only=True)
class SeenWorker:
    """A worker, as it says of itself.

    Attributes:
        name: Its name.
        queues: The queues that it listens on, the most urgent first.
        state: Such as ``idle`` or ``busy``.
        job: The job that it runs, if any.
        host: The machine's name.
        pid: The process' number there, if it tells.
        since: When it came, if it tells.
        heartbeat: When it gave its last sign of life, if it tells.
    """

    name: str
    queues: tuple[str, ...]
    state: str
    job: str | None
    host: str
    pid: int | None
    since: datetime | None
    heartbeat: datetime | None

    @property
    def is_free(self) -> bool:
        """Whether it takes the next job."""
        return self.job is None and self.state != "busy"


@dataclass(frozen=True)
class Line:
    """The waiting jobs of a queue.

    Attributes:
        jobs: Their ids, the next first.
    """

    jobs: tuple[str, ...]

    def ahead_of(self, job: str) -> int | None:
        """How many come before a job; None if it is not among them."""
        return self.jobs.index(job) if job in self.jobs else None


def workers(connection: redis.Redis) -> list[SeenWorker]:
    """The workers that give signs of life, by name.

    A record that somebody else has put there is none.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    names: list[str] = []
    with contextlib.suppress(redis.ResponseError):
        keys = cast("set[bytes]", connection.smembers(_WORKERS))
        names = sorted(key.removeprefix(_WORKER) for key in texts(keys))
    pipeline = connection.pipeline(transaction=False)
    for name in names[:_MAX_WORKERS]:
        pipeline.hmget(f"{_WORKER}{name}", _FIELDS)
    answers = pipeline.execute(raise_on_error=False) if names else []
    found = []
    for name, answer in zip(names, answers, strict=False):
        if isinstance(answer, list):
            record = dict(zip(_FIELDS, map(_text, answer), strict=True))
            if record["queues"] and not record["death"]:
                found.append(_worker(name, record))
        elif not is_wrong_type(answer):
            raise answer
    return found


def line(connection: redis.Redis, queue: str) -> Line:
    """The jobs that wait in a queue.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    listed: Any = []
    with contextlib.suppress(redis.ResponseError):
        listed = connection.lrange(f"{_QUEUE}{queue}", 0, -1)
    return Line(tuple(texts(listed)))


def queue_names(connection: redis.Redis) -> list[str]:
    """The queues that there have been jobs in.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    with contextlib.suppress(redis.ResponseError):
        keys = cast("set[bytes]", connection.smembers(_QUEUES))
        return sorted(key.removeprefix(_QUEUE) for key in texts(keys))
    return []


def _worker(name: str, record: Mapping[str, str]) -> SeenWorker:
    pid = record["pid"]
    return SeenWorker(
        name=name,
        queues=tuple(part for part in record["queues"].split(",") if part),
        state=record["state"] or "unknown",
        job=record["current_job"] or None,
        host=record["hostname"],
        pid=int(pid) if pid.isascii() and pid.isdigit() else None,
        since=_time(record["birth"]),
        heartbeat=_time(record["last_heartbeat"]),
    )


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "backslashreplace")


def _time(text: str) -> datetime | None:
    """A time as versions of RQ have written it: in ISO's form, or in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        with contextlib.suppress(OverflowError, OSError, ValueError):  # or NaN
            return datetime.fromtimestamp(seconds, UTC)
        return None
    with contextlib.suppress(ValueError):
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
