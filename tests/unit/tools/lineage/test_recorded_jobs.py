"""What is kept of a job is found, or it is said why not; nothing of it ever fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.example_job import ExampleJob

from dioptra_worker.errors import ServiceRefused, ServiceUnavailable
from dioptra_worker.provenance.chain import digest
from dioptra_worker.provenance.manifest import MANIFEST_TAG
from dioptra_worker.provenance.run_tags import JOB_ID, WORKER_RUN_ID
from dioptra_worker.tools.lineage.mlflow_api import MlflowApi, tags_of
from dioptra_worker.tools.lineage.recorded_jobs import RecordedJobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST = ExampleJob().manifest()
STAMP = {WORKER_RUN_ID: "0-1", JOB_ID: "42"}


class Mlflow(MlflowApi):
    """An MLflow server with some runs."""

    def __init__(self, *runs: dict[str, Any], fails: Exception | None = None) -> None:
        super().__init__("http://127.0.0.1:9")
        self._found = {run["info"]["run_id"]: run for run in runs}
        self._fails = fails
        self.asked = 0

    def experiments(self) -> list[str]:
        """The one that there is."""
        return ["0"]

    def runs(self, experiments: list[str], condition: str) -> Iterator[dict[str, Any]]:
        """The runs with a tag."""
        assert experiments == ["0"]
        assert condition == "tags.`dioptra.jobId` = '42'"
        return (run for run in self._found.values() if JOB_ID in tags_of(run))

    def run(self, run_id: str) -> dict[str, Any]:
        """A run."""
        self.asked += 1
        if self._fails is not None:
            raise self._fails
        return self._found[run_id]


def run(run_id: str, tags: Mapping[str, str], status: str = "FINISHED") -> Any:
    """A run as MLflow shows it."""
    return {
        "info": {"run_id": run_id, "artifact_uri": "s3://b/x", "status": status},
        "data": {"tags": [{"key": key, "value": tags[key]} for key in tags]},
    }


def jobs(mlflow: Mlflow, kept: bytes | Exception | None = MANIFEST) -> RecordedJobs:
    """What is kept of the jobs of a server."""

    def read_kept(_run: Mapping[str, Any], name: str) -> bytes | None:
        assert name == "manifest.json"
        if isinstance(kept, Exception):
            raise kept
        return kept

    return RecordedJobs(mlflow, read_kept=read_kept)


def test_a_run_and_its_manifest() -> None:
    """The manifest that the run's tag names is read, and the stamp."""
    mlflow = Mlflow(run("r", STAMP | {MANIFEST_TAG: digest(MANIFEST)}))
    found = jobs(mlflow).of(42, "r")
    assert found is not None
    assert found.manifest == ExampleJob().facts
    assert (found.digest, found.trouble) == (digest(MANIFEST), "")
    assert (found.worker_run, found.status) == ("0-1", "finished")


def test_a_run_without_a_manifest() -> None:
    """The store is not asked for what the run does not name."""
    found = jobs(Mlflow(run("r", STAMP)), ValueError()).of(42, "r")
    assert found is not None
    assert (found.manifest, found.worker_run, found.trouble) == (None, "0-1", "")


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (None, "its manifest was removed from the artifact store"),
        (b"{", "its manifest cannot be read: it is no JSON"),
        (
            ServiceUnavailable("S3 is away", service="S3"),
            "its manifest cannot be read: S3 is away",
        ),
        (ExampleJob(factor=4.0).manifest(), "its manifest was changed: its run names"),
    ],
)
def test_trouble_with_a_manifest_is_told(
    kept: bytes | Exception | None, words: str
) -> None:
    """One that is gone, damaged, out of reach, or another."""
    mlflow = Mlflow(run("r", STAMP | {MANIFEST_TAG: digest(MANIFEST)}))
    found = jobs(mlflow, kept).of(42, "r")
    assert found is not None
    assert found.trouble.startswith(words)
    assert found.worker_run == "0-1"


def test_a_deleted_job_is_found_by_its_number() -> None:
    """Of its attempts the newest that has a manifest."""
    named = STAMP | {MANIFEST_TAG: digest(MANIFEST)}
    mlflow = Mlflow(
        run("newest", STAMP), run("newer", named), run("old", named), run("other", {})
    )
    found = jobs(mlflow).of(42, None)
    assert found is not None
    assert found.run_id == "newer"
    assert jobs(Mlflow(run("other", {}))).of(42, None) is None


def test_an_mlflow_that_is_away_is_asked_once() -> None:
    """Each further try would take as long; a run that it refuses is another matter."""
    mlflow = Mlflow(fails=ServiceUnavailable("MLflow is away", service="MLflow"))
    records = jobs(mlflow)
    assert [records.of(job, "r") for job in (1, 2)] == [None, None]
    assert (records.trouble, mlflow.asked) == ("MLflow is away", 1)
    records = jobs(Mlflow(fails=ServiceRefused("no such run", service="MLflow")))
    found = records.of(1, "r")
    assert found is not None
    assert (found.trouble, records.trouble) == ("no such run", "")
