"""The border to RQ and Redis: takes jobs and keeps RQ's books about them.

RQ's own loop, signal handling, forking and pub/sub are not used; its bookkeeping is,
so that ``rq info``, dashboards and other workers see what they expect.
"""

from __future__ import annotations

import logging
import math
import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import redis
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.suspension import is_suspended
from rq.utils import as_text, now, utcparse
from rq.worker import BaseWorker
from rq.worker.base import WorkerStatus

from dioptra_worker.broker.connection import (
    SERVICE,
    is_wrong_type,
    translate_errors,
)
from dioptra_worker.broker.odd_keys import tell
from dioptra_worker.broker.records import (
    PROCESS_FIELD,
    dump_record,
    read_holder,
    this_process,
)
from dioptra_worker.broker.rq.entry import Entries
from dioptra_worker.broker.rq.odd_books import OddBooks
from dioptra_worker.broker.rq.payload import PlainSerializer
from dioptra_worker.common.outcome import Outcome
from dioptra_worker.common.processes.process_identity import has_ended
from dioptra_worker.engine.wording import format_exception
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.settings import LEASE_TTL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rq import Queue

log = logging.getLogger("dioptra_worker.worker")

_BORN = now()
"""When this process began, near enough."""


@dataclass(frozen=True)
class QueueEntry:
    """What left a queue.

    Attributes:
        job: RQ's record of it.
        queue: Where it came from.
    """

    job: Job
    queue: Queue

    @property
    def id(self) -> str:
        """What RQ calls the job."""
        return str(self.job.id)

    @property
    def worker_name(self) -> str | None:
        """Who began the job last, according to RQ."""
        name: str | None = self.job.worker_name
        return name


@dataclass(frozen=True)
class ActiveJob(QueueEntry):
    """A job that left its queue and is ours.

    Attributes:
        execution: RQ's record of our run of it.
    """

    execution: Execution


class RqWorker(BaseWorker):  # type: ignore[misc] # RQ is not typed here
    """RQ's books for one worker.

    Attributes:
        replaced_by: The process that has our name by now, in words; None for nobody.
            What RQ has of a worker of that name is no more ours to write then.
    """

    def __init__(
        self,
        queues: Sequence[str],
        *,
        name: str | None,
        connection: redis.Redis,
        result_ttl: int,
        ttl: float = LEASE_TTL,
        silence: float,
        strategy: str = "default",
    ) -> None:
        """Prepare; nothing is registered yet.

        Args:
            queues: Names, the most urgent first.
            name: A fixed name; None makes one up.
            connection: To Redis.
            result_ttl: Seconds that RQ keeps the record of a finished job.
            ttl: Seconds after which we, or our job, count as lost without a heartbeat.
            silence: Seconds without a heartbeat after which a worker of our name, which
                we cannot see, can be replaced.
            strategy: Where a job is looked for first: ``default`` is the first queue,
                ``round_robin`` the one behind that of the last job, ``random`` any.
        """
        self._ttl = math.ceil(ttl)
        super().__init__(
            list(queues),
            name=name,
            connection=connection,
            default_result_ttl=result_ttl,
            serializer=PlainSerializer,
        )
        # To both RQ adds a minute. As an argument, 0 would be none.
        self.worker_ttl = self.job_monitoring_interval = self._ttl - 60
        self._strategy = strategy
        self._in_turn = list(self.queues)
        self._books = OddBooks(connection, worker=self.key)
        self._namesake = _Namesake(self.hostname, silence)
        self._entries = Entries(connection)
        self._mine = dump_record(this_process(self.name))
        self.replaced_by: str | None = None
        # Runs of which we do not know whether Redis has them: the answer was lost.
        self._unsure: dict[str, Execution] = {}

    def _set_connection(self, connection: redis.Redis) -> redis.Redis:
        return connection  # its timeouts are ours

    # -- the worker ------------------------------------------------------------

    def register(self) -> None:
        """Appear in RQ's list of workers; a dead one of our name is replaced.

        Raises:
            ServiceUnavailable: If Redis is away, or a worker of our name is alive: it
                may be about to end, so this can be tried again.
        """
        with self._books.opened(self.queues):
            record = self._record()
            host = record.get("hostname", "?")
            if self._namesake.life(record) == "dead":
                self.connection.hset(self.key, "death", "replaced")
            self._namesake.is_perhaps_us = True
            try:
                self.register_birth()
            except ValueError as error:
                self._namesake.is_perhaps_us = False
                raise ServiceUnavailable(
                    f"there is a worker named {self.name!r} already, on"
                    f" {host}: stop it, or choose another --name",
                    service=SERVICE,
                ) from error
            self.set_state(WorkerStatus.IDLE)

    def serialize(self) -> dict[str, Any]:
        """What RQ writes down of a worker, and which process of which machine it is."""
        record: dict[str, Any] = super().serialize()
        return {**record, PROCESS_FIELD: self._mine}

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Seconds that a heartbeat of a job counts.

        RQ's own answer is below nought when a job's end takes long to deliver, which
        would remove the job from its books.
        """
        del job, working_time
        return self._ttl

    def unregister(self) -> None:
        """Disappear from RQ's list of workers, unless another has our name."""
        with self._books.opened(self.queues):
            if self._has_own_name():
                self.register_death()

    def send_heartbeat(self, taken: ActiveJob | None) -> None:
        """Tell RQ that we live, and with us the job that we run, or that we run none.

        A Redis that was restored may say that we run one which has ended since; nobody
        would take that up while we live. Nothing is told while another has our name:
        one that was started when we had been silent for so long that we counted as
        lost.
        """
        with self._books.opened(self.queues, "" if taken is None else taken.id):
            if not self._has_own_name():
                return
            if taken is not None:
                self.maintain_heartbeats(taken.job, taken.execution)
                now_is = {"state": WorkerStatus.BUSY.value, "current_job": taken.id}
                self.connection.hset(self.key, mapping=now_is)
                return
            with self.connection.pipeline() as pipeline:
                pipeline.hset(self.key, mapping=self.serialize())
                if not self.executions and not self._unsure:
                    self._write_idle(pipeline)
                pipeline.sadd(self.redis_workers_keys, self.key)
                for queue in self.queues:
                    pipeline.sadd(f"rq:workers:{queue.name}", self.key)
                self.heartbeat(self._ttl, pipeline=pipeline)
                pipeline.execute()

    def _has_own_name(self) -> bool:
        """Whether what RQ has of a worker of our name is ours to write.

        Of another process that is found there we only believe that it has replaced us
        if it lives: a Redis that was restored has what was there before us.
        """
        found: Any = self.connection.hget(self.key, PROCESS_FIELD)
        if self.replaced_by is None and found not in {None, self._mine}:
            life = self._namesake.life(self._record())
            if life == "alive":
                other = read_holder(found)
                self.replaced_by = f"process {other.pid} on {other.host or '?'}"
            if life != "dead":
                return False
            self.connection.hdel(self.key, "death")
            self.connection.hset(self.key, mapping=self.serialize())
        return self.replaced_by is None

    def _record(self) -> dict[str, str]:
        """What RQ has of a worker of our name."""
        found = self.connection.hgetall(self.key)
        return {as_text(key): as_text(value) for key, value in found.items()}

    def has_waiting(self) -> bool:
        """Whether a job waits in one of our queues."""
        with self._books.opened(self.queues):
            return any(self.connection.llen(queue.key) for queue in self.queues)

    def suspended(self) -> bool:
        """Whether ``rq suspend`` asks all workers to pause."""
        with translate_errors():
            return bool(is_suspended(self.connection))

    # -- jobs ------------------------------------------------------------------

    def dequeue(self) -> QueueEntry | None:
        """Move the next job to us in one step; None when all queues are empty.

        It lies in RQ's intermediate list until `start_job`, where recovery finds it if
        we die in between.
        """
        if self._strategy == "random":
            random.shuffle(self._in_turn)
        with translate_errors():
            for place, queue in enumerate(self._in_turn, 1):
                while (found := self._move(queue)) is not None:
                    job = self._fetch(found, queue)
                    if job is not None:
                        self._put_behind(place)
                        return QueueEntry(job, queue)
        return None

    def _put_behind(self, place: int) -> None:
        """Where queues have their turns, have the first few wait for the others."""
        if self._strategy == "round_robin":
            self._in_turn = self._in_turn[place:] + self._in_turn[:place]

    def drop_duplicate(self, entry: QueueEntry, status: str | None) -> None:
        """Drop a second delivery of a job without a word about the first.

        Args:
            entry: The second delivery; both share RQ's record.
            status: How the job ended according to the API, if it has. Then nobody runs
                it, and RQ's record says the same.
        """
        job, queue = entry.job, entry.queue
        books = self._books.opened([queue], job.id)
        with books, self.connection.pipeline() as pipeline:
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            if status in {"finished", "failed"} and job.get_status() in {
                JobStatus.QUEUED,
                JobStatus.STARTED,
            }:
                self._end_elsewhere(job, queue, JobStatus(status), pipeline)
            pipeline.execute()

    def _end_elsewhere(
        self, job: Job, queue: Queue, status: JobStatus, pipeline: Any
    ) -> None:
        """Write down how a job ended that we do not run."""
        job.set_status(status, pipeline=pipeline)
        if status == JobStatus.FAILED:
            queue.failed_job_registry.add(job, job.failure_ttl, pipeline=pipeline)
            return
        ttl = job.get_result_ttl(self.default_result_ttl)
        queue.finished_job_registry.add(job, ttl, pipeline)
        job.cleanup(ttl, pipeline=pipeline)

    def start_job(self, entry: QueueEntry) -> ActiveJob:
        """Write down, in one step, that we run a job.

        When an answer was lost and it is called again, the run that may have been
        written down is replaced.
        """
        job, queue = entry.job, entry.queue
        books = self._books.opened([queue], job.id)
        with books, self.connection.pipeline() as pipeline:
            if job.id in self._unsure:
                self._unsure[job.id].delete(job, pipeline)
            execution = Execution.create(
                job, self._ttl, pipeline=pipeline, worker_name=self.name
            )
            self._unsure[job.id] = execution
            job.prepare_for_execution(self.name, pipeline=pipeline)
            pipeline.persist(job.key)
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            self.set_state(WorkerStatus.BUSY, pipeline=pipeline)
            pipeline.hset(self.key, "current_job", job.id)
            pipeline.execute()
        del self._unsure[job.id]
        self.executions[execution.id] = execution
        return ActiveJob(job, queue, execution)

    def end_job(self, taken: ActiveJob, verdict: Outcome) -> None:
        """Write down how a job ended."""
        job, queue, execution = taken.job, taken.queue, taken.execution
        job.ended_at = now()
        job.webhooks = []  # addresses from Redis are nobody's to call
        job.retries_left = None  # the API, not RQ, knows whether a job runs again
        with self._books.opened([queue], job.id):
            match verdict.fate:
                case "finished":
                    job._result = None  # noqa: SLF001 - RQ has no public way
                    self.handle_job_success(
                        job, queue, queue.started_job_registry, execution
                    )
                case "failed" | "stopped":
                    if verdict.fate == "stopped":
                        self._stopped_job_id = job.id
                    words = verdict.reason.encode("utf-8", "backslashreplace").decode()
                    self.handle_job_failure(
                        job, queue, exc_string=words, execution=execution
                    )
                case "given back" | "dropped":
                    self._release(taken, again=verdict.fate == "given back")
                case "parked":
                    raise AssertionError("it is set aside, see `park`")
                case "left":
                    pass  # it stays among the started ones, without a heartbeat
            self._be_idle()
        self.executions.pop(execution.id, None)

    def park(self, taken: ActiveJob) -> None:
        """Put a job that we began and cannot handle where recovery finds it later."""
        job, queue = taken.job, taken.queue
        with self._books.opened([queue], job.id):
            with self.connection.pipeline() as pipeline:
                self.cleanup_execution(job, pipeline, taken.execution)
                pipeline.lrem(queue.intermediate_queue_key, 0, job.id)
                pipeline.rpush(queue.intermediate_queue_key, job.id)
                pipeline.execute()
            self._be_idle()
        self.executions.pop(taken.execution.id, None)

    def refuse(self, entry: QueueEntry, reason: str) -> None:
        """Write down that a queue entry is no job of ours to run."""
        taken = self.start_job(entry)
        verdict = Outcome(fate="failed", reason=reason, mlflow="FAILED")
        self.end_job(taken, verdict)

    def _be_idle(self) -> None:
        if self.replaced_by is not None:
            return
        with self.connection.pipeline() as pipeline:
            self._write_idle(pipeline)
            pipeline.execute()

    def _write_idle(self, pipeline: Any) -> None:
        """Write down that we have no job."""
        self.set_state(WorkerStatus.IDLE, pipeline=pipeline)
        pipeline.hdel(self.key, "current_job")

    def _move(self, queue: Queue) -> str | None:
        source, target = queue.key, queue.intermediate_queue_key
        try:
            found = self.connection.lmove(source, target, "LEFT", "RIGHT")
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            for key in (source, target):
                if self.connection.type(key) not in {b"list", b"none"}:
                    tell(key, f"no job of queue {queue.name!r} is taken while it is so")
            return None
        if not isinstance(found, bytes):
            return None
        return found.decode("utf-8", "surrogateescape")

    def _fetch(self, job_id: str, queue: Queue) -> Job | None:
        """RQ's record of a job; an entry without one is dropped with a line."""
        try:
            return self._entries.fetch(job_id)
        except (redis.RedisError, OSError) as error:
            if not is_wrong_type(error):  # somebody else's key, which stays one
                raise
            reason: Exception = error
        except Exception as error:  # noqa: BLE001 - RQ raises what a bad field leads to
            reason = error
        words = format_exception(reason)[:500]
        log.warning("queue entry %r was dropped: %s", job_id[:200], words)
        entry = job_id.encode("utf-8", "surrogateescape")
        self.connection.lrem(queue.intermediate_queue_key, 1, entry)
        return None

    def _release(self, taken: ActiveJob, *, again: bool) -> None:
        job, queue = taken.job, taken.queue
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline=pipeline, execution=taken.execution)
            if again:
                job.set_status(JobStatus.QUEUED, pipeline=pipeline)
                queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
            pipeline.execute()


class _Namesake:
    """A worker of our name that RQ knows, and whether it still lives.

    Attributes:
        is_perhaps_us: Whether we may be registered by a call that failed.
    """

    def __init__(self, hostname: str, silence: float) -> None:
        self._hostname = hostname
        self._silence = silence
        self.is_perhaps_us = False
        self._last_heartbeat: str | None = None
        self._since = 0.0

    def life(self, record: Mapping[str, str]) -> Literal["alive", "dead", "unknown"]:
        """Whether it still runs: by its process, if we can see it, or its heartbeats.

        Those are compared with each other only: clocks of hosts differ.

        Args:
            record: What RQ has of it now; nothing if there is none.
        """
        if PROCESS_FIELD not in record:
            same_host = record.get("hostname") == self._hostname
            return "dead" if same_host and _ended_here(record) else "unknown"
        process = read_holder(record[PROCESS_FIELD])
        if process.is_local:
            is_us = self.is_perhaps_us and process == this_process(process.worker)
            return "dead" if is_us or process.is_dead() else "alive"
        heartbeat = record.get("last_heartbeat", "")
        if heartbeat != self._last_heartbeat:
            is_new = self._last_heartbeat is None
            self._last_heartbeat, self._since = heartbeat, time.monotonic()
            return "unknown" if is_new else "alive"
        silent = time.monotonic() - self._since > self._silence
        return "dead" if silent else "unknown"


def _ended_here(record: Mapping[str, str]) -> bool:
    """Whether another kind of worker, of this host by its name, runs no more.

    In a container the first process has the same number each time: one that was born
    before us is not us.
    """
    pid = record.get("pid", "")
    if pid == str(os.getpid()):
        return bool(utcparse(record["birth"]) < _BORN)
    return pid.isdigit() and has_ended(int(pid))
