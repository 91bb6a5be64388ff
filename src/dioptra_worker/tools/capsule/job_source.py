"""Where what a job of a platform has left is found: its API, MLflow and the store."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.files.archives import unpack
from dioptra_worker.provenance.manifest import FILE_NAME
from dioptra_worker.tools.capsule import layout
from dioptra_worker.tools.capsule.errors import CapsuleError
from dioptra_worker.tools.capsule.making import Point, Record
from dioptra_worker.tools.lineage.mlflow_api import tags_of
from dioptra_worker.tools.lineage.store import fetch, kept

if TYPE_CHECKING:
    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import ArtifactParameter, Job
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.provenance.manifest import InputFacts, OutputFacts, PluginFile
    from dioptra_worker.tools.lineage.mlflow_api import MlflowApi


class JobSource:
    """One job of a platform; what it has left comes from where its users get it."""

    def __init__(
        self, api: DioptraApi, client: UserClient, mlflow: MlflowApi, job_id: int
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            api: A session with the API.
            client: The same session, for what people ask of it.
            mlflow: The MLflow server.
            job_id: The job.
        """
        self._api = api
        self._client = client
        self._mlflow = mlflow
        self._job_id = job_id

    @cached_property
    def _job(self) -> Job:
        return self._api.job(self._job_id)

    @cached_property
    def _readers(self) -> dict[str, ArtifactParameter]:
        found = self._api.artifact_parameters(self._job_id)
        return {one.name: one for one in found}

    @cached_property
    def _run(self) -> dict[str, Any]:
        """The job's run, as MLflow shows it."""
        run = self._api.mlflow_run(self._job_id)
        if run is None:
            raise CapsuleError(f"job {self._job_id} has no MLflow run: it never began")
        return self._mlflow.run(run)

    def manifest(self) -> bytes:
        """The job's manifest.

        Raises:
            CapsuleError: It has none.
            ServiceError: A service refused, or cannot be asked.
        """
        found = kept(self._run, FILE_NAME)
        if found is None:
            raise CapsuleError(
                f"job {self._job_id} has no manifest: a worker that makes one stores it"
                " when the job has ended"
            )
        return found

    def tag(self, name: str) -> str:
        """A tag of the job's run; empty if it has none."""
        return tags_of(self._run).get(name, "")

    def evidence(self) -> bytes | None:
        """What its worker has signed."""
        return kept(self._run, layout.EVIDENCE)

    def log(self) -> list[Record]:
        """The records of its log."""
        return [
            Record(severity=it.severity, logger=it.logger, message=it.message)
            for it in self._client.log(self._job_id)
        ]

    def metrics(self) -> list[Point]:
        """The points of its metrics: the API's, and those that only MLflow has."""
        found = [
            Point(name=it.name, value=it.value, step=it.step)
            for it in self._client.metrics(self._job_id)
        ]
        known = {point.name for point in found}
        run_id = self._run["info"]["run_id"]
        for metric in self._run.get("data", {}).get("metrics", []):
            if (name := metric["key"]) not in known:
                found += [
                    Point(name=name, value=value, step=step)
                    for value, step in self._mlflow.points(run_id, name)
                ]
        return found

    def plugins(self, one: PluginFile, target: Path) -> None:
        """The bundle of plugins that a file is of."""
        with tempfile.TemporaryDirectory() as name:
            archive = Path(name) / "bundle.tar.gz"
            if one.role == "tasks":
                self._api.plugins_bundle(self._job, archive)
            elif one.role == "artifacts":
                self._api.artifact_plugins_bundle(self._job, archive)
            else:
                reader = self._reader(one.snapshot)
                ids = reader.plugin_id, reader.plugin_snapshot_id
                self._api.plugin_bundle(*ids, archive)
            unpack(archive, target, what=f"the plugins of job {self._job_id}")

    def _reader(self, snapshot: int) -> ArtifactParameter:
        for one in self._readers.values():
            if one.plugin_snapshot_id == snapshot:
                return one
        raise CapsuleError(
            f"job {self._job_id} has no input that is read by plugin snapshot"
            f" {snapshot}, as its manifest says"
        )

    def input(self, one: InputFacts, target: Path) -> None:
        """An input artifact, from its store."""
        fetch(one.uri, target / one.file_name, is_dir=one.is_dir)

    def output(self, one: OutputFacts, target: Path) -> None:
        """An output artifact, from its store."""
        fetch(one.uri, target / one.file_name, is_dir=one.is_dir)
