"""A run that is kept in a folder, read and continued by the real MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker.errors import ServiceRefused
from dioptra_worker.protocol.messages import NO_JOB
from dioptra_worker.tracking.folder_run import FolderTracking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.protocol.run_rules import RunStatus

READ = """
import json, sys
from mlflow.tracking import MlflowClient

client = MlflowClient()
run = client.get_run(sys.argv[1])
listed = [found.info.run_id for found in client.search_runs(["0"])]
history = [(m.value, m.step) for m in client.get_metric_history(sys.argv[1], "loss")]
print(json.dumps({
    "name": run.info.run_name,
    "status": run.info.status,
    "params": run.data.params,
    "metrics": run.data.metrics,
    "tags": run.data.tags,
    "artifacts": [file.path for file in client.list_artifacts(sys.argv[1], "letter")],
    "listed": listed,
    "history": history,
}))
"""


@pytest.fixture(name="tracking")
def _tracking(tmp_path: Path) -> Iterator[FolderTracking]:
    """A folder with a blank in its name; the environment is as before afterwards."""
    before = dict(os.environ)
    yield FolderTracking(tmp_path / "my runs")
    os.environ.clear()
    os.environ.update(before)


def _mlflow(tracking: FolderTracking, code: str, *arguments: str) -> str:
    """Run code with MLflow in a process of its own."""
    environment = {
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_TRACKING_URI": tracking.root.as_uri(),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def _read(tracking: FolderTracking, run_id: str) -> Any:
    return json.loads(_mlflow(tracking, READ, run_id))


@pytest.mark.parametrize(
    "status",
    [
        "FINISHED",
        *(pytest.param(end, marks=pytest.mark.slow) for end in ("FAILED", "KILLED")),
    ],
)
def test_mlflow_reads_what_was_written(
    tracking: FolderTracking, tmp_path: Path, status: RunStatus
) -> None:
    """MLflow sees the run with all that it was given, in its list of runs, too."""
    run_id, uri = tracking.start(NO_JOB)
    tracking.describe(
        run_id,
        name="hello",
        params={"name": "Ada", "times": 2},
        tags={"dioptra.artifactTask.letter": "TextFile"},
    )
    tracking.log_metric(run_id, "loss", 0.5, 1)
    tracking.log_metric(run_id, "loss", 0.25, 2)
    letter = tmp_path / "letter.md"
    letter.write_text("Hello")
    stored = tracking.store(uri).put(letter, "letter")
    tracking.close(run_id, status)
    seen = _read(tracking, run_id)
    assert seen["status"] == status
    assert seen["name"] == "hello"
    assert seen["params"] == {"name": "Ada", "times": "2"}
    assert seen["metrics"] == {"loss": 0.25}
    assert seen["history"] == [[0.5, 1], [0.25, 2]]
    assert seen["tags"]["dioptra.artifactTask.letter"] == "TextFile"
    assert seen["artifacts"] == ["letter/letter.md"]
    assert seen["listed"] == [run_id]
    assert stored.endswith("/my%20runs/0/" + run_id + "/artifacts/letter/letter.md")


def test_a_plugin_that_calls_mlflow_finds_the_run(tracking: FolderTracking) -> None:
    """What ``mlflow.log_*`` is given lands in the run, whose end is still ours."""
    run_id, _ = tracking.start(NO_JOB)
    _mlflow(
        tracking,
        "import mlflow, os\n"
        "mlflow.log_metric('loss', 0.125, step=3)\n"
        "mlflow.log_param('p', 1)\n"
        "os._exit(0)",
    )
    assert tracking.metrics(run_id) == {"loss": (0.125, 3)}
    tracking.close(run_id, "FAILED")
    seen = _read(tracking, run_id)
    assert seen["status"] == "FAILED"
    assert seen["params"] == {"p": "1"}
    assert "MLFLOW_RUN_ID" not in os.environ


def test_two_runs_share_a_folder(tracking: FolderTracking) -> None:
    """A second run leaves the first as it is."""
    first, _ = tracking.start(NO_JOB)
    tracking.close(first, "FINISHED")
    second, _ = tracking.start(NO_JOB)
    tracking.close(second, "FAILED")
    assert {first, second} == {
        file.name for file in (tracking.root / "0").glob("?" * 32)
    }
    assert "status: 3" in (tracking.run_folder(first) / "meta.yaml").read_text()


def test_names_stay_in_the_run(
    tracking: FolderTracking, caplog: pytest.LogCaptureFixture
) -> None:
    """A parameter whose name leads out of the run is told and not written."""
    run_id, _ = tracking.start(NO_JOB)
    tracking.describe(run_id, name="n", params={"../../escaped": 1}, tags={})
    assert "cannot be a name" in caplog.text
    assert not list(tracking.root.rglob("escaped"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A store that is a file is one sentence that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceRefused, match="file' cannot keep the run"):
        FolderTracking(tmp_path / "file").start(NO_JOB)
