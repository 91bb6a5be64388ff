"""The queues, as cancelling and requeueing need them: who runs a job, and who may.

RQ's books and the leases of workers are those of `dioptra_worker.daemon`. Whoever
changes a job takes its lease first, so that no worker begins it meanwhile.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from rq import Queue
from rq.command import send_command
from rq.job import Job
from rq.utils import as_text

from dioptra_worker.broker.connection import connect, translate_errors
from dioptra_worker.broker.leases import Leases
from dioptra_worker.broker.payload import JobRequest, PlainSerializer
from dioptra_worker.broker.registries import Registries
from dioptra_worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import redis

    from dioptra_worker.tools.jobs.job_row import JobRow

URL = "RQ_REDIS_URI"


class Broker:
    """The queues; every method raises `ServiceUnavailable` when Redis is away.

    Args:
        connection: To Redis.
        name: Who asks, for workers' logs.
    """

    def __init__(self, connection: redis.Redis, *, name: str) -> None:
        self._redis = connection
        self.leases = Leases(connection, worker=name)
        self._leftovers = Registries(connection)

    def runner(self, job: JobRow) -> str | None:
        """The name of the worker that runs a job; None when nobody does.

        A worker that is lost on another machine counts for as long as its lease does.
        """
        holder = self.leases.holder(job.id)
        if holder is not None:
            return None if holder.is_dead() else holder.worker
        # Then it is a worker that takes no leases, such as the platform's own.
        if not self._leftovers.started(self._queue(job)).get(str(job.id), False):
            return None
        with translate_errors():
            name = self._redis.hget(Job.key_for(str(job.id)), "worker_name")
        return as_text(name) if name else None

    @contextlib.contextmanager
    def reserved(self, job: JobRow) -> Iterator[bool]:
        """Keep workers from a job until the end of the block.

        Yields:
            Whether that was possible: False when somebody runs it.
        """
        ours = self.leases.acquire(job.id) is None
        try:
            yield ours
        finally:
            if ours:
                self.leases.release(job.id)

    def stop(self, job: JobRow, worker: str) -> None:
        """Ask a worker to stop a job; it may not hear it."""
        with translate_errors():
            send_command(self._redis, worker, "stop-job", job_id=str(job.id))

    def remove(self, job: JobRow) -> None:
        """Take a job that nobody runs out of its queue, and forget its attempts."""
        self._leftovers.remove(str(job.id), self._queue(job))
        self.leases.forget_attempts(job.id)
        self.leases.clear_pending_status(job.id)

    def enqueue(self, job: JobRow, *, timeout: str) -> None:
        """Enqueue a job as the REST API does, to be the next one."""
        request = JobRequest(
            job_id=job.id, experiment_id=job.experiment_id, timeout=None, worker=""
        )
        self._leftovers.enqueue(request, self._queue(job), timeout)

    def _queue(self, job: JobRow) -> Queue:
        return Queue(job.queue, connection=self._redis, serializer=PlainSerializer)


@contextlib.contextmanager
def open_broker(environment: Mapping[str, str], *, name: str) -> Iterator[Broker]:
    """Open the queues.

    Args:
        environment: Has their address.
        name: Who asks.

    Raises:
        SettingsError: It has not, or the address is none.
    """
    url, file = environment.get(URL), environment.get(f"{URL}_FILE")
    if not url and file:
        try:
            url = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problem = f"{URL}_FILE: {file!r} cannot be read: {error}"
            raise SettingsError([problem]) from error
    if not url:
        wanted = "the Redis that holds the job queues, such as redis://localhost:6379/0"
        raise SettingsError([f"{URL} is missing: {wanted}"])
    try:
        connection = connect(url)
    except ValueError as error:
        raise SettingsError([f"{URL} is no address of a Redis: {error}"]) from error
    with contextlib.closing(connection):
        yield Broker(connection, name=name)
