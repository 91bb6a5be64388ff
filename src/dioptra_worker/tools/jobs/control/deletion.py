"""Which jobs may be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.tools.jobs.errors import NotNow
from dioptra_worker.tools.jobs.job_row import JobRow

if TYPE_CHECKING:
    from dioptra_worker.api.user_client import UserClient


def deletable(client: UserClient, job_id: int) -> JobRow:
    """A job that may be deleted, as nobody has it any more.

    Raises:
        NotNow: It has not ended.
        NotFound: There is no such job.
        ServiceError: The API refused, or cannot be asked.
    """
    job = JobRow.read(client.job(job_id))
    if not job.has_ended:
        raise NotNow(
            f"job {job_id} is {job.status}: end it first, `dioptra-worker jobs cancel"
            f" {job_id}`"
        )
    return job
