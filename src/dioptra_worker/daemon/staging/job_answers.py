"""What the REST API has under a job's id alone, asked for before the job is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from dioptra_worker.errors import NotFound, PathUnknown, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import ArtifactParameter, Job
    from dioptra_worker.common.background import Background

T = TypeVar("T")

PARALLEL_REQUESTS = 4


class JobAnswers:
    """The answers of one job's first requests, which are sent side by side at once.

    Nothing of it changes as long as there is the job. The first who wants an answer
    gets what has come, also if that says why there is none; whoever tries again asks
    the API. Each method raises `ServiceError` as the API's client does.
    """

    def __init__(self, job_id: int, *, api: DioptraApi, pool: Background) -> None:
        """Ask.

        Args:
            job_id: The job.
            api: Knows it.
            pool: Runs `PARALLEL_REQUESTS` calls side by side.
        """
        self._api = api
        self._job = pool.submit(api.job, job_id)
        self._asked: dict[str, Future[Any]] = {
            "config": pool.submit(api.job_config, job_id),
            "parameters": pool.submit(api.parameters, job_id),
            "inputs": pool.submit(lambda: self._inputs_of(self._job.result())),
        }

    def job(self, timeout: float | None = None) -> Job | None:
        """The job's record; None when the API did not give it at once.

        Args:
            timeout: Seconds that it may still take; None is as long as the API takes.
        """
        try:
            return self._job.result(timeout)
        except (ServiceError, TimeoutError):
            return None

    def config(self, job: Job) -> dict[str, Any]:
        """The job's task graph."""
        try:
            return self._answer("config", lambda: self._api.job_config(job.id))
        except (NotFound, PathUnknown):
            return self._api.entrypoint_config(job)

    def parameters(self, job: Job) -> dict[str, Any]:
        """The job's values for the global parameters."""
        return self._answer("parameters", lambda: self._api.parameters(job.id))

    def inputs(self, job: Job) -> list[ArtifactParameter]:
        """The artifacts that the job reads."""
        return self._answer("inputs", lambda: self._inputs_of(job))

    def _answer(self, name: str, ask: Callable[[], T]) -> T:
        asked: Future[T] | None = self._asked.pop(name, None)
        return ask() if asked is None else asked.result()

    def _inputs_of(self, job: Job) -> list[ArtifactParameter]:
        """What the API says of them; it is asked if the job has any, by its record."""
        return self._api.artifact_parameters(job.id) if job.inputs else []
