"""What type a job is of: a training, a processing, or something internal.

Dioptra has no such field. A tag of that name says so, on the job itself or on its
entrypoint; without one a job is a processing, or, where it only stands for somebody's
personal worker run, internal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.tools.jobs.worker_run import is_personal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.job_row import JobRow

JOB_TYPES = ("training", "processing", "internal")
DEFAULT = "processing"


@dataclass(frozen=True)
class JobTypes:
    """Which entrypoints are tagged.

    Attributes:
        by_entrypoint: The type by the entrypoint's id.
    """

    by_entrypoint: Mapping[int, str]

    def of(self, job: JobRow) -> str:
        """The type of a job; its own tag goes before its entrypoint's."""
        for job_type in JOB_TYPES:
            if job_type in job.tags:
                return job_type
        if is_personal(description=job.description, queue=job.queue, user=job.user):
            return "internal"
        return self.by_entrypoint.get(job.entrypoint_id, DEFAULT)


def read_job_types(client: UserClient) -> JobTypes:
    """Ask the API which entrypoints are tagged: one request, and one for each tag."""
    return JobTypes(
        {
            entrypoint: name
            for name, tag in client.tags().items()
            if name in JOB_TYPES
            for entrypoint in client.tagged_entrypoints(tag)
        }
    )
