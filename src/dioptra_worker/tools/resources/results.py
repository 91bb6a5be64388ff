"""What came of a job, as the API tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.tools.resources.errors import Unknown
from dioptra_worker.tools.resources.timeline import Timeline

if TYPE_CHECKING:
    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import (
        Artifact,
        Job,
        LogLine,
        MetricPoint,
        StatusChange,
    )
    from dioptra_worker.api.user_client import UserClient


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """A job with all that it has left behind.

    Attributes:
        job: The job.
        run_id: Its MLflow run, if it has one.
        timeline: Every status that it had, the oldest first.
        log: Its log, in order.
        metrics: The values of its metrics, by name and step.
        artifacts: What it has stored, the oldest first.
    """

    job: Job
    run_id: str | None
    timeline: tuple[StatusChange, ...]
    log: tuple[LogLine, ...]
    metrics: tuple[MetricPoint, ...]
    artifacts: tuple[Artifact, ...]

    @property
    def waited(self) -> float | None:
        """Seconds from the submission to the start."""
        return Timeline(self.timeline).waited

    @property
    def ran(self) -> float | None:
        """Seconds from the start to the end."""
        return Timeline(self.timeline).ran

    def artifact(self, name: str) -> Artifact:
        """Find an artifact by its name in the task graph.

        Its file or folder has that name, with any extension, as is the custom of
        artifact tasks.

        Raises:
            Unknown: There is none.
        """
        for artifact in self.artifacts:
            if artifact.file_name == name or artifact.file_name.startswith(f"{name}."):
                return artifact
        there = ", ".join(artifact.file_name for artifact in self.artifacts)
        raise Unknown(
            f"job {self.job.id} has no artifact {name!r}: it has {there or 'none'}"
        )


def read_result(api: DioptraApi, client: UserClient, job_id: int) -> JobResult:
    """Read all that the API knows of a job.

    Raises:
        ServiceError: The API refused, or cannot be asked.
    """
    return JobResult(
        job=api.job(job_id),
        run_id=api.mlflow_run(job_id),
        timeline=tuple(client.timeline(job_id)),
        log=tuple(client.log(job_id)),
        metrics=tuple(client.metrics(job_id)),
        artifacts=tuple(client.artifacts(job_id)),
    )
