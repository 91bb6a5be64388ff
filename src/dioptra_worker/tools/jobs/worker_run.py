"""The worker run of a job, computed of what the REST API tells, as its worker does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.provenance import configuration_id, differences, typed_defaults
from dioptra_worker.settings import DATA_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Job
    from dioptra_worker.provenance import WorkerRun

PERSONAL = "User worker run of"
"""Begins the description of a job that stands for a personal worker run."""
_DATA = "DIOPTRA_WORKER_DATA_PARAMETERS"


def data_parameters(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The parameters that say what to work on."""
    given = environment.get(_DATA)
    if given is None:
        return DATA_PARAMETERS
    return tuple(name.strip() for name in given.split(",") if name.strip())


def is_personal(*, description: str, queue: str, user: str) -> bool:
    """Whether a job only stands for somebody's personal worker run."""
    return description == f"{PERSONAL} {user}" and queue.startswith("local-")


def worker_run_of(
    api: DioptraApi,
    job: Job,
    parameters: Mapping[str, Any],
    *,
    description: str,
    data: Collection[str],
) -> tuple[WorkerRun, str]:
    """A job's worker run.

    Args:
        api: A session with the API.
        job: The job.
        parameters: Its typed values.
        description: What its submitter wrote.
        data: The parameters that say what to work on.

    Returns:
        The worker run, and the id of its configuration.

    Raises:
        ServiceError: The API does not tell what the entrypoint declares.
    """
    defaults = typed_defaults(api.declared_parameters(job))
    personal = is_personal(description=description, queue=job.queue, user=job.user)
    run = job.worker_run(
        parameters, defaults, data=data, user=job.user if personal else None
    )
    chosen = differences(run.configuration, defaults)
    return run, configuration_id(job.entrypoint_id, chosen)
