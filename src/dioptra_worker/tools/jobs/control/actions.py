"""Ends jobs, and has jobs run again that were lost: both are told in the job's log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dioptra_worker.protocol.messages import Log
from dioptra_worker.tools.jobs.errors import NotNow
from dioptra_worker.tools.jobs.job_row import JobRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.control.queues import Broker

POLL_INTERVAL = 0.5
"""Seconds between two looks at whether a worker has stopped a job."""


@dataclass(frozen=True, kw_only=True)
class Actions:
    """What can be done to a job; needs the queues.

    Attributes:
        api: A session with the API.
        resources: The same, for resources.
        broker: The queues.
        seconds: How long a worker may take to stop a job.
        sleep: Waits.
    """

    api: DioptraApi
    resources: UserClient
    broker: Broker
    seconds: float
    sleep: Callable[[float], object] = time.sleep

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
        self._say(job, f"cancelled by {self.api.username}")
        deadline = time.monotonic() + self.seconds
        while not job.has_ended:
            worker = self.broker.runner(job)
            if worker is None:
                ended = self._end(job)
                if ended is not None:
                    return ended
            else:
                # Again and again: it may have been about to begin and not yet listen.
                self.broker.stop(job, worker)
            if time.monotonic() > deadline:
                raise NotNow(
                    f"worker {worker!r} was asked to stop job {job_id}, and has not"
                    f" within {self.seconds:g} s"
                )
            self.sleep(POLL_INTERVAL)
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
        body = self.resources.job(job_id)
        job = JobRow.read(body)
        if job.status == "finished" and not force:
            raise NotNow(
                f"job {job_id} has finished: `rerun` makes a new job of it, and"
                " `requeue --force` has this one run again"
            )
        deadline = time.monotonic() + self.seconds
        while (worker := self.broker.runner(job)) or not self._reset(job):
            if not force:
                raise NotNow(
                    f"worker {worker!r} runs job {job_id}, or was lost a moment ago:"
                    " --force stops it first"
                )
            if worker is not None:
                self.broker.stop(job, worker)
            if time.monotonic() > deadline:
                raise NotNow(
                    f"worker {worker!r} still has job {job_id} after"
                    f" {self.seconds:g} s: a lost worker is forgotten after 90 s"
                )
            self.sleep(POLL_INTERVAL)
            job = self._job(job_id)
        # Not before the lease is back: a worker leaves a job alone that is held.
        self.broker.enqueue(job, timeout=body["timeout"])
        return job.queue

    def _end(self, job: JobRow) -> str | None:
        """Fail a job that nobody runs; its status, or None when somebody runs it."""
        with self.broker.reserved(job) as ours:
            if not ours:
                return None
            job = self._job(job.id)
            if job.has_ended:
                return job.status
            self._leave_run(job)
            self.broker.remove(job)
            if job.status != "started":  # the only way from there to failed
                self.api.set_status(job.experiment_id, job.id, "started")
            self._say(
                job, "the job was stopped: it was cancelled, and no worker runs it"
            )
            self.api.set_status(job.experiment_id, job.id, "failed")
        return "failed"

    def _reset(self, job: JobRow) -> bool:
        """Make a job that nobody runs a queued one; False when somebody runs it."""
        with self.broker.reserved(job) as ours:
            if not ours:
                return False
            job = self._job(job.id)
            self._leave_run(job)
            if job.status != "queued":
                self.api.set_status(job.experiment_id, job.id, "reset")
            self.broker.remove(job)
            self._say(job, f"requeued by {self.api.username}")
        return True

    def _leave_run(self, job: JobRow) -> None:
        """Have a worker close the MLflow run of a job that was lost."""
        if job.status == "started":
            run_id = self.api.mlflow_run(job.id)
            if run_id is not None:
                self.broker.leases.record_open_run(run_id, "KILLED")

    def _say(self, job: JobRow, text: str) -> None:
        stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
        record = Log(
            severity="WARNING", logger="dioptra_worker", message=f"{stamp} {text}"
        )
        self.api.post_log(job.id, [record])

    def _job(self, job_id: int) -> JobRow:
        return JobRow.read(self.resources.job(job_id))
