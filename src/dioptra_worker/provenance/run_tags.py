"""What is written on an MLflow run and on an artifact, so that they can be found by it.

Tags whose names begin with ``dioptra.``: MLflow searches by them, and the REST API
searches artifacts by the worker run's id in their description.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.provenance.configuration import (
    canonical_text,
    configuration_id,
    differences,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.provenance.identity import WorkerRun

JOB_ID = "dioptra.jobId"
WORKER_RUN_ID = "dioptra.workerRunId"
WORKER_RUN = "dioptra.workerRun"
CONFIGURATION_ID = "dioptra.configurationId"
KIND = "dioptra.workerRunKind"
RESULTS_DELETED = "dioptra.resultsDeleted"
ENTRYPOINT_SNAPSHOT_ID = "dioptra.entrypointSnapshotId"
IN_MANIFEST = "dioptra.inManifest"
"""Says where in the manifest that is stands which is too long for a tag."""
SEED = "dioptra.seed"
"""What the random generators that were loaded when a job began were seeded with."""

DELETED = "[deleted]"
"""How the description of an artifact begins whose contents were deleted."""

MAX_TAG_VALUE = 5000
"""Characters of a tag's value that every MLflow server takes."""

_SIGNED = re.compile(r"\(worker run ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\)")


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What surrounds a job, is no part of its worker run, and is kept beside it.

    Attributes:
        user: Who submitted the job.
        queue: The queue that it came from.
        worker: The name of the worker daemon.
        worker_version: The version of this package.
        platform_version: The version of the platform; empty if it does not tell.
        image: The container image; empty if the worker was not told.
        revision: The revision of the image's or checkout's source; empty if not told.
    """

    user: str = ""
    queue: str = ""
    worker: str = ""
    worker_version: str = ""
    platform_version: str = ""
    image: str = ""
    revision: str = ""


def tags(
    run: WorkerRun, circumstances: Circumstances, *, defaults: Mapping[str, Any]
) -> dict[str, str]:
    """The tags of a job's MLflow run.

    Args:
        run: The job's worker run.
        circumstances: What surrounds the job.
        defaults: The typed defaults of the entrypoint's parameters.

    Returns:
        Values by tag name; what is not known is left out. The document is left out
        when no MLflow server can be relied on to take it; the id remains.
    """
    document = canonical_text(run.document())
    found = {
        WORKER_RUN_ID: run.id,
        WORKER_RUN: document if len(document) <= MAX_TAG_VALUE else "",
        CONFIGURATION_ID: configuration_id(
            run.entrypoint_id, differences(run.configuration, defaults)
        ),
        "dioptra.experimentId": str(run.experiment_id),
        "dioptra.entrypointId": str(run.entrypoint_id),
        ENTRYPOINT_SNAPSHOT_ID: str(run.entrypoint_snapshot_id),
        "dioptra.user": circumstances.user,
        "dioptra.queue": circumstances.queue,
        "dioptra.workerName": circumstances.worker,
        "dioptra.workerVersion": circumstances.worker_version,
        "dioptra.platformVersion": circumstances.platform_version,
        "dioptra.image": circumstances.image,
        "dioptra.revision": circumstances.revision,
    }
    return {name: value for name, value in found.items() if value}


def source_tags(entrypoint: str, snapshot: str = "") -> dict[str, str]:
    """The tags by which MLflow shows where a run's code is from.

    Args:
        entrypoint: The entrypoint's name.
        snapshot: The id of its snapshot; empty if it has none.
    """
    of = f" (snapshot {snapshot})" if snapshot else ""
    return {"mlflow.source.name": f"{entrypoint}{of}", "mlflow.source.type": "JOB"}


def signed(description: str, worker_run_id: str) -> str:
    """A description that carries a worker run's id, for the API's search to find."""
    if not worker_run_id:
        return description
    return f"{description} (worker run {worker_run_id})"


def signature(description: str) -> str | None:
    """The worker run's id that a description carries."""
    found = _SIGNED.search(description)
    return found[1] if found else None
