"""The border to RQ and Redis: takes jobs and keeps RQ's books about them.

RQ's own loop, signal handling, forking and pub/sub are not used; its bookkeeping is,
so that ``rq info``, dashboards and other workers see what they expect.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.suspension import is_suspended
from rq.utils import now
from rq.worker import BaseWorker
from rq.worker.base import WorkerStatus

from dioptra_worker.daemon.payload import PlainSerializer
from dioptra_worker.daemon.redis_client import mapped
from dioptra_worker.daemon.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis
    from rq import Queue

log = logging.getLogger("dioptra_worker.worker")

HEARTBEAT = 15.0
"""Seconds between two heartbeats."""
TTL = 90
"""Seconds after which a worker or a job without a heartbeat counts as lost."""


@dataclass(frozen=True)
class Taken:
    """A job that left its queue and is ours.

    Attributes:
        job: RQ's record of it.
        queue: Where it came from.
        execution: RQ's record of our run of it.
    """

    job: Job
    queue: Queue
    execution: Execution


class RqWorker(BaseWorker):  # type: ignore[misc] # RQ is not typed here
    """RQ's books for one worker."""

    def __init__(
        self,
        queues: Sequence[str],
        *,
        name: str | None,
        connection: redis.Redis,
        result_ttl: int,
    ) -> None:
        """Prepare; nothing is registered yet.

        Args:
            queues: Names, the most urgent first.
            name: A fixed name; None makes one up.
            connection: To Redis.
            result_ttl: Seconds that RQ keeps the record of a finished job.
        """
        super().__init__(
            list(queues),
            name=name,
            connection=connection,
            default_result_ttl=result_ttl,
            worker_ttl=TTL,
            job_monitoring_interval=int(HEARTBEAT),
            serializer=PlainSerializer,
        )

    def _set_connection(self, connection: redis.Redis) -> redis.Redis:
        return connection  # its timeouts are ours

    # -- the worker ------------------------------------------------------------

    def register(self) -> None:
        """Appear in RQ's list of workers; a dead one of our name is replaced."""
        with mapped():
            stale = self.connection.hget(self.key, "hostname")
            if self.connection.exists(self.key) and _is_ours(self, stale):
                self.connection.hset(self.key, "death", "replaced")
            self.register_birth()
            self.set_state(WorkerStatus.IDLE)

    def unregister(self) -> None:
        """Disappear from RQ's list of workers."""
        with mapped():
            self.register_death()

    def beat(self, taken: Taken | None) -> None:
        """Tell RQ that we live, and with us the job that we run."""
        with mapped():
            if taken is not None:
                self.maintain_heartbeats(taken.job, taken.execution)
                return
            with self.connection.pipeline() as pipeline:
                pipeline.hset(self.key, mapping=self.serialize())
                pipeline.sadd(self.redis_workers_keys, self.key)
                for queue in self.queues:
                    pipeline.sadd(f"rq:workers:{queue.name}", self.key)
                self.heartbeat(TTL, pipeline=pipeline)
                pipeline.execute()

    def suspended(self) -> bool:
        """Whether ``rq suspend`` asks all workers to pause."""
        with mapped():
            return bool(is_suspended(self.connection))

    # -- jobs ------------------------------------------------------------------

    def take(self) -> tuple[Job, Queue] | None:
        """Move the next job to us in one step; None when all queues are empty.

        It lies in RQ's intermediate list until `begin`, where recovery finds it should
        we die in between.
        """
        with mapped():
            for queue in self.queues:
                while (found := self._move(queue)) is not None:
                    job = self._fetch(found, queue)
                    if job is not None:
                        return job, queue
        return None

    def discard(self, job: Job, queue: Queue, status: str | None) -> None:
        """Drop a second delivery of a job without a word about the first.

        Args:
            job: RQ's record, which both deliveries share.
            queue: Where it came from.
            status: How the job ended according to the API, if it has.
        """
        with mapped(), self.connection.pipeline() as pipeline:
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            if status in {"finished", "failed"} and job.get_status() == "queued":
                job.set_status(JobStatus(status), pipeline=pipeline)
            pipeline.execute()

    def begin(self, job: Job, queue: Queue) -> Taken:
        """Write down, in one step, that we run a job."""
        with mapped(), self.connection.pipeline() as pipeline:
            execution = Execution.create(
                job, TTL, pipeline=pipeline, worker_name=self.name
            )
            job.prepare_for_execution(self.name, pipeline=pipeline)
            pipeline.persist(job.key)
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            self.set_state(WorkerStatus.BUSY, pipeline=pipeline)
            pipeline.hset(self.key, "current_job", job.id)
            pipeline.execute()
        self.executions[execution.id] = execution
        return Taken(job, queue, execution)

    def end(self, taken: Taken, verdict: Verdict) -> None:
        """Write down how a job ended."""
        job, queue, execution = taken.job, taken.queue, taken.execution
        job.ended_at = now()
        job.webhooks = []  # addresses from Redis are nobody's to call
        with mapped():
            match verdict.fate:
                case "finished":
                    job._result = None  # noqa: SLF001 - RQ has no public way
                    self.handle_job_success(
                        job, queue, queue.started_job_registry, execution
                    )
                case "failed" | "stopped":
                    if verdict.fate == "stopped":
                        self._stopped_job_id = job.id
                    self.handle_job_failure(
                        job, queue, exc_string=verdict.reason, execution=execution
                    )
                case "given back" | "dropped":
                    self._release(taken, again=verdict.fate == "given back")
                case "left":
                    pass  # it stays among the started ones, without a heartbeat
            with self.connection.pipeline() as pipeline:
                self.set_state(WorkerStatus.IDLE, pipeline=pipeline)
                pipeline.hdel(self.key, "current_job")
                pipeline.execute()
        self.executions.pop(execution.id, None)

    def refuse(self, job: Job, queue: Queue, reason: str) -> None:
        """Write down that a queue entry is no job of ours to run."""
        taken = self.begin(job, queue)
        verdict = Verdict(fate="failed", reason=reason, mlflow="FAILED")
        self.end(taken, verdict)

    def _move(self, queue: Queue) -> str | None:
        found = self.connection.lmove(
            queue.key, queue.intermediate_queue_key, "LEFT", "RIGHT"
        )
        return found.decode() if isinstance(found, bytes) else None

    def _fetch(self, job_id: str, queue: Queue) -> Job | None:
        """RQ's record of a job; an entry without one is dropped with a line."""
        try:
            return Job.fetch(
                job_id, connection=self.connection, serializer=PlainSerializer
            )
        except (NoSuchJobError, ValueError, KeyError) as error:
            log.warning("queue entry %r was dropped: %s", job_id, error)
            self.connection.lrem(queue.intermediate_queue_key, 1, job_id)
            return None

    def _release(self, taken: Taken, *, again: bool) -> None:
        job, queue = taken.job, taken.queue
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline=pipeline, execution=taken.execution)
            if again:
                job.set_status(JobStatus.QUEUED, pipeline=pipeline)
                queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
            pipeline.execute()


def _is_ours(worker: RqWorker, hostname: bytes | None) -> bool:
    """Whether a worker of our name is a dead one on this host."""
    name = (hostname or b"").decode("utf-8", "replace")
    return worker.hostname == name and not _alive(worker)


def _alive(worker: RqWorker) -> bool:
    beat = worker.connection.hget(worker.key, "last_heartbeat")
    if beat is None:
        return False
    remaining = worker.connection.ttl(worker.key)
    return isinstance(remaining, int) and remaining > TTL - 2 * HEARTBEAT
