"""What a job's id is enough for is asked at once; who tries again asks again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

from dioptra_worker.common.background import Background
from dioptra_worker.daemon.staging.job_answers import PARALLEL_REQUESTS, JobAnswers
from dioptra_worker.errors import (
    NotFound,
    PathUnknown,
    ServiceError,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from dioptra_worker.api.models import Job

T = TypeVar("T")

INPUTS: list[Any] = ["data"]
AWAY = ServiceUnavailable("away", service="API")


class Api:
    """Answers as told, the first times with errors."""

    def __init__(self, **errors: list[ServiceError]) -> None:
        self.errors = errors
        self.asked: list[str] = []
        self.record = cast("Job", SimpleNamespace(id=7, inputs={"data": (1, 2)}))

    def job(self, job_id: int) -> Job:
        """The record."""
        assert job_id == 7
        return self._answer("job", self.record)

    def job_config(self, job_id: int) -> Any:
        """The task graph."""
        assert job_id == 7
        return self._answer("job_config", {"graph": "the job's"})

    def entrypoint_config(self, job: Job) -> Any:
        """The task graph of the entrypoint."""
        assert job is self.record
        return self._answer("entrypoint_config", {"graph": "the entrypoint's"})

    def parameters(self, job_id: int) -> Any:
        """The parameters."""
        assert job_id == 7
        return self._answer("parameters", {"a": 1})

    def artifact_parameters(self, job_id: int) -> Any:
        """The inputs."""
        assert job_id == 7
        return self._answer("artifact_parameters", INPUTS)

    def _answer(self, name: str, answer: T) -> T:
        self.asked.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)
        return answer


def _answers(api: Api) -> JobAnswers:
    pool = Background("test", max_parallel=PARALLEL_REQUESTS)
    answers = JobAnswers(7, api=cast("Any", api), pool=pool)
    assert pool.wait(60.0)
    return answers


def test_everything_is_asked_once() -> None:
    """All that comes in peace is asked for at once, and not again."""
    api = Api()
    answers = _answers(api)
    everything = ["artifact_parameters", "job", "job_config", "parameters"]
    assert sorted(api.asked) == everything
    job = answers.job()
    assert job is api.record
    assert answers.config(job) == {"graph": "the job's"}
    assert answers.parameters(job) == {"a": 1}
    assert answers.inputs(job) == INPUTS
    assert sorted(api.asked) == everything


def test_a_job_without_inputs() -> None:
    """Its record says so: the API is not asked for them."""
    api = Api()
    api.record = cast("Job", SimpleNamespace(id=7, inputs={}))
    assert _answers(api).inputs(api.record) == []
    assert "artifact_parameters" not in api.asked


def test_who_tries_again_asks_again() -> None:
    """A failure is told, with what it asks for; the next try is a request."""
    api = Api(job=[AWAY], job_config=[AWAY], parameters=[AWAY])
    answers = _answers(api)
    assert answers.job() is None
    for ask in (answers.config, answers.parameters, answers.inputs):
        with pytest.raises(ServiceUnavailable):
            ask(api.record)
    assert answers.config(api.record) == {"graph": "the job's"}
    assert answers.parameters(api.record) == {"a": 1}
    assert answers.inputs(api.record) == INPUTS


@pytest.mark.parametrize("kind", [NotFound, PathUnknown])
def test_the_task_graph_of_older_platforms(kind: type[ServiceError]) -> None:
    """Where a job has none it is its entrypoint's; any other failure is told."""
    api = Api(job_config=[kind("no", service="API", status=404)])
    answers = _answers(api)
    assert answers.config(api.record) == {"graph": "the entrypoint's"}
    assert api.asked.count("job_config") == 1
