"""What MLflow and the artifact store have kept of a job, whose lineage is asked for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from dioptra_worker.errors import ServiceError, ServiceUnavailable
from dioptra_worker.provenance.chain import digest
from dioptra_worker.provenance.manifest import (
    FILE_NAME,
    MANIFEST_TAG,
    BadManifest,
    read_manifest,
)
from dioptra_worker.provenance.run_tags import JOB_ID, WORKER_RUN_ID
from dioptra_worker.tools.jobs.ancestors.reading import Recorded
from dioptra_worker.tools.lineage.mlflow_api import tags_of
from dioptra_worker.tools.lineage.store import kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.tools.lineage.mlflow_api import MlflowApi

_STATUSES = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "failed"}


class RecordedJobs:
    """The runs and manifests of jobs; it fails for none of them."""

    def __init__(
        self,
        mlflow: MlflowApi,
        *,
        read_kept: Callable[[Mapping[str, Any], str], bytes | None] = kept,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            mlflow: The MLflow server.
            read_kept: Reads what is kept beside a run's artifacts; see `kept`.
        """
        self._mlflow = mlflow
        self._read_kept = read_kept
        # One after the other: neither MLflow's client nor its session is made for more.
        self._lock = threading.Lock()
        self.trouble = ""

    def of(self, job_id: int, run_id: str | None) -> Recorded | None:
        """What is recorded of a job; None if nothing is, or MLflow is away.

        Args:
            job_id: The job.
            run_id: Its MLflow run; None for a job that the REST API has no more.
        """
        with self._lock:
            if self.trouble:  # each try takes as long as the first
                return None
            try:
                run = self._run(job_id, run_id)
            except ServiceUnavailable as error:
                self.trouble = str(error)
                return None
            except ServiceError as error:
                return Recorded(run_id=run_id or "", trouble=str(error))
            return None if run is None else self._recorded(run)

    def _run(self, job_id: int, run_id: str | None) -> dict[str, Any] | None:
        if run_id is not None:
            return self._mlflow.run(run_id)
        condition = f"tags.`{JOB_ID}` = '{job_id}'"
        found = list(self._mlflow.runs(self._mlflow.experiments(), condition))
        # Of several attempts, the newest that has a manifest: the job's last one.
        stated = (run for run in found if MANIFEST_TAG in tags_of(run))
        return next(stated, found[0] if found else None)

    def _recorded(self, run: Mapping[str, Any]) -> Recorded:
        tags = tags_of(run)
        info = run["info"]
        manifest, name, trouble = None, "", ""
        if tag := tags.get(MANIFEST_TAG):
            try:
                data = self._read_kept(run, FILE_NAME)
                if data is None:
                    trouble = "its manifest was removed from the artifact store"
                else:
                    manifest, name = read_manifest(data), digest(data)
                    if name != tag:
                        trouble = f"its manifest was changed: its run names {tag}"
            except (ServiceError, BadManifest) as error:
                trouble = f"its manifest cannot be read: {error}"
        return Recorded(
            run_id=info["run_id"],
            worker_run=tags.get(WORKER_RUN_ID, ""),
            status=_STATUSES.get(info.get("status", ""), ""),
            manifest=manifest,
            digest=name,
            trouble=trouble,
        )
