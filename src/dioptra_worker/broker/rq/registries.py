"""Jobs that lost workers and a forgetful Redis left behind in RQ's books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from rq import Queue
from rq.exceptions import TimeoutFormatError
from rq.job import Job, JobStatus
from rq.utils import parse_timeout

from dioptra_worker.broker.connection import is_wrong_type, texts
from dioptra_worker.broker.odd_keys import tell
from dioptra_worker.broker.parking import Parking
from dioptra_worker.broker.records import PROCESS_FIELD
from dioptra_worker.broker.rq.odd_books import OddBooks
from dioptra_worker.broker.rq.payload import (
    DEFAULT_TIME_LIMIT,
    FUNCTION,
    PlainSerializer,
)

if TYPE_CHECKING:
    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.broker.rq.rq_worker import ActiveJob

__all__ = ["INTERMEDIATE_TIMEOUT", "Queue", "Registries"]

INTERMEDIATE_TIMEOUT = 10.0
"""Seconds after which a job that was taken but not begun counts as lost."""
SEEN_TTL = 60
"""Seconds after which a first look counts no more: the job has been elsewhere since."""
_NO_KEY = -2
"""What Redis says of the time that a key has left which is not there."""


def _readable(timeout: str | int) -> str | int:
    try:
        seconds = parse_timeout(timeout)
    except (TimeoutFormatError, TypeError, ValueError):
        seconds = None
    return timeout if seconds else int(DEFAULT_TIME_LIMIT)


class Registries:
    """Finds jobs that nobody runs, and puts them where somebody will."""

    def __init__(
        self, connection: redis.Redis, *, intermediate: float = INTERMEDIATE_TIMEOUT
    ) -> None:
        """Open RQ's books.

        Args:
            connection: To Redis.
            intermediate: Seconds after which a job that was taken but not begun counts
                as lost.
        """
        self.connection = connection
        self._books = OddBooks(connection)
        self.parking = Parking(connection)
        self._lost_after = intermediate

    def queue(self, name: str) -> Queue:
        """A queue by its name."""
        return Queue(name, connection=self.connection, serializer=PlainSerializer)

    def worker_of(self, job_id: str) -> str | None:
        """The worker that RQ's record of a job names."""
        with self._books.opened():
            name = self._worker_of(job_id)
        return name.decode("utf-8", "backslashreplace") if name else None

    def started(self, queue: Queue) -> dict[str, bool]:
        """The jobs that count as running, and whether their worker seems alive."""
        with self._books.opened([queue]):
            return {
                job_id: self._worker_lives(job_id) for job_id in self._entries(queue)
            }

    def is_begun_elsewhere(self, active: ActiveJob) -> bool:
        """Whether there is another run of a job than ours, according to RQ."""
        ours = f"{active.id}:{active.execution.id}"
        with self._books.opened([active.queue], active.id):
            return bool({*self._entries(active.queue).get(active.id, [])} - {ours})

    def intermediate(self, queue: Queue) -> list[str]:
        """The jobs that left the queue for nobody for a while.

        Each is looked at twice, some seconds apart: its taker may be alive.
        """
        with self._books.opened([queue]):
            found = self.connection.lrange(queue.intermediate_queue_key, 0, -1)
            return [name for name in texts(found) if self._seen_before(name)]

    def waiting(self, queue: Queue) -> set[str]:
        """Every job that RQ knows to be on its way: waiting, taken, or scheduled."""
        with self._books.opened([queue]):
            listed: list[Any] = self.connection.lrange(queue.key, 0, -1)
            listed += self.connection.lrange(queue.intermediate_queue_key, 0, -1)
            for registry in (queue.scheduled_job_registry, queue.deferred_job_registry):
                listed += self.connection.zrange(registry.key, 0, -1)
            return set(texts(listed)) | set(self._entries(queue))

    def enqueue(self, request: JobRequest, queue: Queue, timeout: str | int) -> None:
        """Enqueue a job as the REST API does, to be the next one.

        Args:
            request: The job.
            queue: Where to.
            timeout: Its time limit, for which the API takes any text: what RQ cannot
                read counts as none given.
        """
        with self._books.opened([queue], str(request.job_id)):
            queue.enqueue_call(
                FUNCTION,
                kwargs={
                    "job_id": request.job_id,
                    "experiment_id": request.experiment_id,
                },
                job_id=str(request.job_id),
                timeout=_readable(timeout),
                at_front=True,
            )

    def _entries(self, queue: Queue) -> dict[str, list[str]]:
        """The started registry's members by job."""
        found: dict[str, list[str]] = {}
        members = self.connection.zrange(queue.started_job_registry.key, 0, -1)
        for entry in texts(members):
            found.setdefault(entry.partition(":")[0], []).append(entry)
        return found

    def _worker_of(self, job_id: str) -> bytes | None:
        """The worker that RQ's record of a job names; a key that is none names none."""
        try:
            name: Any = self.connection.hget(Job.key_for(job_id), "worker_name")
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            return None
        return name or None

    def _worker_lives(self, job_id: str) -> bool:
        name = self._worker_of(job_id)
        if not name:
            return False
        key = b"rq:worker:" + name
        if self.connection.type(key) != b"hash":
            return False
        fields = ("death", PROCESS_FIELD, "current_job")
        found: Any = self.connection.hmget(key, fields)
        death, process, current = found
        # For a minute after a worker's good end its record is there, and says so. One
        # of ours that has another job, or none, is perhaps a namesake of who was lost.
        return death is None and (process is None or current == job_id.encode())

    def _seen_before(self, job_id: str) -> bool:
        """Whether the first look was long enough ago, by the clock of Redis.

        Whoever looks for the second time may be on a host with another time.
        """
        key = f"dioptra-worker:in-between:{job_id}"
        left: Any = self.connection.pttl(key)
        if not 0 < left <= SEEN_TTL * 1000:
            if left != _NO_KEY:
                tell(key, f"job {job_id} counts as not seen before")
            self.connection.set(key, "", ex=SEEN_TTL)
            return False
        if SEEN_TTL - left / 1000 < self._lost_after:
            return False
        self.connection.delete(key)
        return True

    def requeue(self, job_id: str, queue: Queue) -> None:
        """Put a job that nobody runs back to the head of its queue."""
        books = self._books.opened([queue], job_id)
        with books, self.connection.pipeline() as pipeline:
            self._take_out(job_id, queue, pipeline)
            pipeline.lpush(queue.key, job_id)
            pipeline.hset(Job.key_for(job_id), "status", JobStatus.QUEUED)
            pipeline.execute()

    def remove(self, job_id: str, queue: Queue) -> None:
        """Take a job that nobody runs out of RQ's books, as if it had never been."""
        others = (queue.scheduled_job_registry, queue.deferred_job_registry)
        books = self._books.opened([queue], job_id)
        with books, self.connection.pipeline() as pipeline:
            self._take_out(job_id, queue, pipeline)
            for registry in others:
                pipeline.zrem(registry.key, job_id)
            pipeline.delete(Job.key_for(job_id))
            pipeline.execute()

    def _take_out(self, job_id: str, queue: Queue, pipeline: Any) -> None:
        registry = queue.started_job_registry
        for entry in self._entries(queue).get(job_id, []):
            pipeline.zrem(registry.key, entry)
            pipeline.delete(f"rq:execution:{entry}")
            pipeline.zrem(f"rq:executions:{job_id}", entry.rpartition(":")[2])
        pipeline.lrem(queue.intermediate_queue_key, 0, job_id)
        pipeline.lrem(queue.key, 0, job_id)
