"""The plugins of the platform's own tutorials run unchanged.

They come out of the platform's source distribution when the test runs.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.acceptance.bench import PROGRAM
from tests.differential import peer
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", name="code")
def _code() -> Path:
    return peer.sdist() / "docs/source/documentation_code"


@pytest.fixture(scope="module", name="daemon", autouse=True)
def _daemon(
    stack: LocalStack,
    platform: Platform,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    with worker(
        stack.environment(),
        folder,
        platform.queue,
        settings={"MPLBACKEND": "Agg"},
        full=True,
    ) as running:
        yield running


def test_hello_world(platform: Platform, code: Path) -> None:
    """The first tutorial's plugin says hello."""
    source = (code / "plugins/hello_world_tutorial/hello_world.py").read_text()
    graph = "step1:\n  task: hello_world\n"
    job = platform.run(platform.register({"hello_world.py": source}, graph))
    assert "Hello, World!" in platform.text(job)


def test_sample_and_transform(platform: Platform, code: Path) -> None:
    """The second tutorial's plugin logs statistics and metrics through the client."""
    folder = "essential_workflows_tutorial"
    name = "sample_and_transform_w_metrics.py"
    source = (code / "plugins" / folder / name).read_text()
    graph = (code / "task_graphs" / folder / "sample_and_transform.yaml").read_text()
    graph += (
        "\n\nmetrics:\n  log_stats:\n    input_array: $transform_step.output\n"
        "    plugin_step_name: 4\n"
    )
    parameters = {"mean": 1.5, "var": 2.0, "sample_size": 50, "transform_type": "tanh"}
    entrypoint = platform.register(
        {name: source}, graph, parameters=parameters, output="output"
    )
    job = platform.run(entrypoint, values={"sample_size": "64"})
    assert "len=64" in platform.text(job)
    metrics = {m["name"] for m in platform.api.get(f"/jobs/{job}/metrics")}
    assert metrics, platform.text(job)


def test_artifacts(platform: Platform, code: Path) -> None:
    """The third tutorial's plugins hand an array from job to job and save a plot."""
    folder = code / "plugins/essential_workflows_tutorial"
    graphs = code / "task_graphs/essential_workflows_tutorial"
    plots = code / "artifact_task_graphs/essential_workflows_tutorial"
    artifacts = (folder / "artifacts.py").read_text()
    producer = platform.register(
        {
            "sample_and_transform.py": (folder / "sample_and_transform.py").read_text(),
            "artifacts.py": artifacts,
        },
        "draw:\n  sample_normal_distribution: {sample_size: 40, mean: 9}\n",
        "drawn:\n  contents: $draw\n  task: {name: NumpyArrayArtifactTask}\n",
        output="output",
    )
    first = platform.run(producer)
    drawn = platform.artifacts(first)["drawn"]

    name = "rescale_and_graph_array.py"
    consumer = platform.register(
        {name: (folder / name).read_text(), "artifacts.py": artifacts},
        (graphs / "rescale_and_graph_array.yaml").read_text(),
        (plots / "save_graph_artifacts.yaml").read_text(),
        artifact_inputs={"artifact_input_array": ["output"]},
        parameters={"figure_title": "Rescaled"},
        output="output",
    )
    given = {
        "artifact_input_array": {"id": drawn["id"], "snapshotId": drawn["snapshot"]}
    }
    second = platform.submit(consumer, artifacts=given)
    assert platform.wait(second, seconds=90) == "finished", platform.text(second)
    plot = platform.artifacts(second)["save_graph"]
    assert platform.content(plot).startswith(b"\x89PNG")


def test_its_own_layout(tmp_path: Path) -> None:
    """``run`` runs an entrypoint of the platform's where it lies, with its artifact."""
    folder = peer.sdist() / "tests/unit/restapi/v1/workflows/resource_import_files"
    letter = tmp_path / "letter.txt"
    letter.write_text("goodbye")
    answer = subprocess.run(
        [
            *(PROGRAM, "run", folder / "entrypoints/hello-artifact.yaml"),
            *("--artifact", f"greeting_artifact:StringArtifactTask={letter}"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "GOODBYE" in answer.stdout + answer.stderr
