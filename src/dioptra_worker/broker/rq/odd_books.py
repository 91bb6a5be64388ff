"""RQ's own keys in Redis into which somebody else has put something.

A command that Redis refuses for its key's type would be tried again for ever, and
nobody would know why. What is kept for one job is nothing of RQ's any more: it is
removed, and said. What all workers keep together may be more than somebody's mistake:
it is named, and left for people to mend; the worker goes on then.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import redis
from rq.job import Job

from dioptra_worker.broker.connection import (
    SERVICE,
    is_wrong_type,
    translate_errors,
)
from dioptra_worker.broker.odd_keys import tell
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rq import Queue

_SHARED = {"rq:workers": "set", "rq:queues": "set"}


class OddBooks:
    """Finds out which of RQ's keys is of another type than RQ's."""

    def __init__(self, connection: redis.Redis, *, worker: str = "") -> None:
        """Prepare.

        Args:
            connection: To Redis.
            worker: RQ's key of the worker whose books these are, if it is one's.
        """
        self._redis = connection
        self._own = {worker: "hash"} if worker else {}

    @contextlib.contextmanager
    def opened(self, queues: Iterable[Queue] = (), job_id: str = "") -> Iterator[None]:
        """Read and write RQ's keys; what goes wrong is told as what it is.

        Args:
            queues: Those whose keys are among them.
            job_id: The job whose keys are, if one's are.

        Raises:
            ServiceUnavailable: If Redis is away, or a key has another type than RQ's.
        """
        with translate_errors():
            try:
                yield
            except redis.ResponseError as error:
                if not is_wrong_type(error):
                    raise
                self._tell(queues, job_id)
                raise

    def _tell(self, queues: Iterable[Queue], job_id: str) -> None:
        for key in self._odd(_keys_of_job(job_id) if job_id else {}):
            self._redis.delete(key)
            tell(key, "it was removed, and counts as empty")
        shared = {**_SHARED, **self._own}
        for queue in queues:
            shared |= _keys_of_queue(queue)
        for key, (found, wanted) in self._odd(shared).items():
            raise ServiceUnavailable(
                f"Redis' key {key!r} holds a {found}, and RQ keeps a {wanted} there:"
                " rename or delete it, and the worker goes on",
                service=SERVICE,
            )

    def _odd(self, types: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """What is of another type than it should be: its type, and the right one."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for key in types:
                pipeline.type(key)
            found = [kind.decode() for kind in pipeline.execute()]
        return {
            key: (kind, types[key])
            for key, kind in zip(types, found, strict=True)
            if kind not in {"none", types[key]}
        }


def _keys_of_queue(queue: Queue) -> dict[str, str]:
    registries = (
        queue.started_job_registry,
        queue.finished_job_registry,
        queue.failed_job_registry,
        queue.deferred_job_registry,
        queue.scheduled_job_registry,
        queue.canceled_job_registry,
    )
    return {
        queue.key: "list",
        queue.intermediate_queue_key: "list",
        f"rq:workers:{queue.name}": "set",
        **{registry.key: "zset" for registry in registries},
    }


def _keys_of_job(job_id: str) -> dict[str, str]:
    return {
        Job.key_for(job_id): "hash",
        f"rq:executions:{job_id}": "zset",
        f"rq:results:{job_id}": "stream",
        f"{Job.key_for(job_id)}:dependents": "set",
    }
