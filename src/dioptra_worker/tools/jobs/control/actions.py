"""Ends jobs, and has jobs run again that were lost: both are told in the job's log.

Whoever changes a job takes its lease first, so that no worker begins it meanwhile.
"""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dioptra_worker.broker.leases import Leases
from dioptra_worker.broker.rq.commands import ask_to_stop_job
from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.broker.rq.registries import Queue, Registries
from dioptra_worker.protocol.messages import OWN_LOGGER, Log
from dioptra_worker.settings import LEASE_TTL
from dioptra_worker.tools.jobs.errors import NotNow
from dioptra_worker.tools.jobs.job_row import JobRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.user_client import UserClient

POLL_INTERVAL = 0.5
"""Seconds between two looks at whether a worker has stopped a job."""


class Actions:
    """What can be done to a job; needs the queues."""

    def __init__(
        self,
        *,
        api: DioptraApi,
        client: UserClient,
        connection: redis.Redis,
        seconds: float,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            api: A session with the API.
            client: The same session, for what people ask of it.
            connection: To the queues' Redis.
            seconds: How long a worker may take to stop a job.
            sleep: Waits.
        """
        self._api = api
        self._client = client
        self._connection = connection
        self._seconds = seconds
        self._sleep = sleep
        # Workers that find a job's lease taken tell its log who has it.
        name = f"dioptra-worker jobs, called by {api.username}"
        self._leases = Leases(connection, worker=name)
        self._registries = Registries(connection)

    def cancel(self, job_id: int) -> str:
        """End a job, whether it waits or runs.

        Args:
            job_id: The job.

        Returns:
            Its status then: ``failed``, or ``finished`` when that came before.

        Raises:
            NotNow: It has ended already, or the worker did not stop it in time.
            NotFound: There is no such job.
            ServiceError: The API or Redis refused, or cannot be asked.
        """
        job = self._job(job_id)
        if job.has_ended:
            raise NotNow(f"job {job_id} has {job.status} already")
        self._say(job, f"cancelled by {self._api.username}")
        deadline = time.monotonic() + self._seconds
        while not job.has_ended:
            worker = self._running_worker(job)
            if worker is None:
                ended = self._end(job)
                if ended is not None:
                    return ended
            else:
                # Again and again: it may have been about to begin and not yet listen.
                self._ask_to_stop(job, worker)
            if time.monotonic() > deadline:
                raise NotNow(
                    f"worker {worker!r} was asked to stop job {job_id}, and has not"
                    f" within {self._seconds:g} s"
                )
            self._sleep(POLL_INTERVAL)
            job = self._job(job_id)
        return job.status

    def requeue(self, job_id: int, *, force: bool = False) -> str:
        """Have a job run again under the same id, as the next one of its queue.

        Args:
            job_id: The job.
            force: Also a job that has finished, and one that a worker runs: it is
                stopped first.

        Returns:
            The queue's name.

        Raises:
            NotNow: It has finished, or a worker runs it, and there is no force; or the
                worker did not stop it in time.
            NotFound: There is no such job.
            ServiceError: The API or Redis refused, or cannot be asked.
        """
        body = self._client.job(job_id)
        job = JobRow.read(body)
        if job.status == "finished" and not force:
            raise NotNow(
                f"job {job_id} has finished: `rerun` makes a new job of it, and"
                " `requeue --force` has this one run again"
            )
        deadline = time.monotonic() + self._seconds
        while (worker := self._running_worker(job)) or not self._reset(job):
            if not force:
                raise NotNow(
                    f"worker {worker!r} runs job {job_id}, or was lost a moment ago:"
                    " --force stops it first"
                )
            if worker is not None:
                self._ask_to_stop(job, worker)
            if time.monotonic() > deadline:
                raise NotNow(
                    f"worker {worker!r} still has job {job_id} after"
                    f" {self._seconds:g} s: a lost worker is forgotten after"
                    f" {LEASE_TTL:g} s"
                )
            self._sleep(POLL_INTERVAL)
            job = self._job(job_id)
        # Not before the lease is back: a worker leaves a job alone that is held.
        request = JobRequest(
            job_id=job.id, experiment_id=job.experiment_id, time_limit=None, worker=""
        )
        self._registries.enqueue(request, self._queue(job), body["timeout"])
        return job.queue

    def _end(self, job: JobRow) -> str | None:
        """Fail a job that nobody runs; its status, or None when somebody runs it."""
        with self._reserved(job) as ours:
            if not ours:
                return None
            job = self._job(job.id)
            if job.has_ended:
                return job.status
            self._leave_run(job)
            self._remove(job)
            if job.status != "started":  # the only way from there to failed
                self._api.set_status(job.experiment_id, job.id, "started")
            self._say(
                job, "the job was stopped: it was cancelled, and no worker runs it"
            )
            self._api.set_status(job.experiment_id, job.id, "failed")
        return "failed"

    def _reset(self, job: JobRow) -> bool:
        """Make a job that nobody runs a queued one; False when somebody runs it."""
        with self._reserved(job) as ours:
            if not ours:
                return False
            job = self._job(job.id)
            self._leave_run(job)
            if job.status != "queued":
                self._api.set_status(job.experiment_id, job.id, "reset")
            self._remove(job)
            self._say(job, f"requeued by {self._api.username}")
        return True

    def _leave_run(self, job: JobRow) -> None:
        """Have a worker close the MLflow run of a job that was lost."""
        if job.status == "started":
            run_id = self._api.mlflow_run(job.id)
            if run_id is not None:
                self._leases.runs.record_known(run_id, "KILLED", job_id=job.id)

    def _running_worker(self, job: JobRow) -> str | None:
        """The name of the worker that runs a job; None when nobody does.

        A worker that is lost on another machine counts for as long as its lease does.
        """
        holder = self._leases.holder(job.id)
        if holder is not None:
            return None if holder.is_dead() else holder.worker
        # Then it is a worker that takes no leases, such as the platform's own.
        if not self._registries.started(self._queue(job)).get(str(job.id), False):
            return None
        return self._registries.worker_of(str(job.id))

    def _ask_to_stop(self, job: JobRow, worker: str) -> None:
        """Ask a worker to stop a job; it may not hear it."""
        ask_to_stop_job(self._connection, worker, str(job.id))

    @contextlib.contextmanager
    def _reserved(self, job: JobRow) -> Iterator[bool]:
        """Keep workers from a job until the end of the block.

        Yields:
            Whether that was possible: False when somebody runs it.
        """
        ours = self._leases.acquire(job.id) is None
        try:
            yield ours
        finally:
            if ours:
                self._leases.release(job.id)

    def _remove(self, job: JobRow) -> None:
        """Take a job that nobody runs out of all books, as if it were a new one."""
        self._registries.remove(str(job.id), self._queue(job))
        self._leases.forget_attempts(job.id)
        self._leases.clear_pending_status(job.id)
        self._registries.parking.forget(job.id)

    def _queue(self, job: JobRow) -> Queue:
        return self._registries.queue(job.queue)

    def _say(self, job: JobRow, text: str) -> None:
        stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
        record = Log(severity="WARNING", logger=OWN_LOGGER, message=f"{stamp} {text}")
        self._api.post_log(job.id, [record])

    def _job(self, job_id: int) -> JobRow:
        return JobRow.read(self._client.job(job_id))
