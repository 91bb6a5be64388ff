"""What a job was given, for its plugins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.provenance import WORKER_RUN_ID
from dioptra_worker.sdk.worker.bridge import InputFolder, JobContext

if TYPE_CHECKING:
    from dioptra_worker.protocol.messages import Plan


def job_context(plan: Plan) -> JobContext:
    """What a job was given, for its plugins."""
    return JobContext(
        parameters=plan.parameters,
        defaults=plan.defaults,
        inputs={
            item.name: InputFolder(
                item.artifact_id, Path(item.directory, item.file_name)
            )
            for item in plan.inputs
        },
        worker_run=plan.stamp.get(WORKER_RUN_ID, ""),
    )
