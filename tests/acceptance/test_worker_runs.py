"""Which worker run made a result: stamped on MLflow runs and artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.clients import ApiClient, MlflowReader
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.slow

SOURCE = """
@pyplugs.register
def text(name, elements):
    return name + str(elements)
"""
PARAMETERS = {"name": "World", "elements": [1, 2], "unused": 0.5}
OUTPUTS = {"note": {"contents": "$text", "task": {"name": "Text"}}}


@pytest.fixture(scope="module", name="daemon")
def _daemon(
    stack: LocalStack, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    environment = {**stack.environment(), "DIOPTRA_WORKER_IMAGE": "lab/image:7"}
    options = ["--name", "stamper", platform.queue]
    with worker(environment, folder, *options) as running:
        yield running


@pytest.mark.usefixtures("daemon")
def test_a_worker_run_is_stamped(
    platform: Platform, mlflow_reader: MlflowReader
) -> None:
    """Equal jobs share one worker run, another value is another, data is no matter."""
    entrypoint = platform.entrypoint(
        SOURCE,
        {"text": {"text": ["$name", "$elements"]}},
        parameters=PARAMETERS,
        artifact_outputs=OUTPUTS,
    )
    cases: list[dict[str, str]] = [
        {},
        {"name": "World", "unused": "5e-1"},
        {"elements": "[3]"},
        {"name": "Moon"},
    ]
    jobs = [platform.submit(entrypoint, values=values) for values in cases]
    for job in jobs:
        assert platform.wait(job) == "finished", platform.text(job)
    marks = [mlflow_reader.tags(platform.run_id(job)) for job in jobs]
    ids = [found["dioptra.workerRunId"] for found in marks]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    first = marks[0]
    assert first["dioptra.configurationId"] == marks[2]["dioptra.configurationId"]
    assert first["dioptra.configurationId"] != marks[3]["dioptra.configurationId"]
    assert first["dioptra.workerName"] == "stamper"
    assert first["dioptra.image"] == "lab/image:7"
    assert first["dioptra.queue"] == platform.queue
    assert first["dioptra.platformVersion"].startswith("1.2")
    assert first["dioptra.packages"]
    assert "mlflow-skinny==" in first["dioptra.packageList"]
    assert first["dioptra.jobId"] == str(jobs[0])
    assert _signed(platform.api, ids[0]) == {
        entry["id"] for job in jobs[:3] for entry in platform.artifacts(job).values()
    }


def _signed(api: ApiClient, worker_run: str) -> set[Any]:
    """The artifacts that the API's own search finds for a worker run."""
    query = f'description:"*{worker_run}*"'
    return {entry["id"] for entry in api.get("/artifacts/", search=query)["data"]}
