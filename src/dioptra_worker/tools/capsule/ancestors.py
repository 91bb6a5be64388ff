"""The jobs of a platform whose capsules go into that of a job which came from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.tools.capsule.job_source import JobSource
from dioptra_worker.tools.capsule.making import Ancestors
from dioptra_worker.tools.jobs.ancestors.export import document
from dioptra_worker.tools.jobs.ancestors.reading import read_lineage
from dioptra_worker.tools.lineage.recorded_jobs import RecordedJobs

if TYPE_CHECKING:
    from collections.abc import Collection

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.lineage.mlflow_api import MlflowApi


def ancestors_of(
    api: DioptraApi,
    client: UserClient,
    mlflow: MlflowApi,
    job_id: int,
    *,
    data_parameters: Collection[str],
) -> Ancestors:
    """The jobs that a job came from.

    Args:
        api: A session with the API.
        client: The same session, for what people ask of it.
        mlflow: The MLflow server.
        job_id: The job.
        data_parameters: Those that say what to work on, and are no part of a worker
            run.

    Raises:
        Unknown: There is no such job.
        ServiceError: The API refused, or cannot be asked.
    """
    lineage = read_lineage(
        api,
        client,
        job_id,
        records=RecordedJobs(mlflow),
        data_parameters=data_parameters,
    )
    return Ancestors(
        lineage=document(lineage),
        sources={
            id_: JobSource(api, client, mlflow, id_)
            for id_ in lineage.jobs
            if id_ != job_id
        },
    )
