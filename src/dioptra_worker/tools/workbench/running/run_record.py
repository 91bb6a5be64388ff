"""What is kept of a run in a folder, beside what the runner itself has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.tools.workbench.planning.inputs import TAG
from dioptra_worker.tools.workbench.running import run_manifest
from dioptra_worker.tracking.folder_run import FolderTracking

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.tools.workbench.planning.run_plan import RunPlan
    from dioptra_worker.tools.workbench.running.results import Recorder


def complete(
    folder: Path, recorder: Recorder, run_plan: RunPlan, *, reason: str
) -> None:
    """Note what wrote each artifact, learn what plugins told MLflow by themselves.

    Then the run's manifest is made.

    Args:
        folder: Where the run is kept.
        recorder: What is known of it.
        run_plan: What was run.
        reason: Why it failed; empty if it did not.
    """
    if recorder.run_id is None:
        return
    tracking = FolderTracking(folder)
    for name in recorder.artifacts:
        task = run_plan.config["artifact_outputs"][name]["task"]["name"]
        tracking.tag(recorder.run_id, f"{TAG}{name}", task)
    passed = recorder.record.metrics.facts().names
    for name, points in tracking.points(recorder.run_id).items():
        recorder.metric(name, *points[-1])
        known = passed[name].points if name in passed else 0
        if len(points) > known:
            recorder.record.metrics.add_direct(name, len(points) - known)
    run_manifest.keep(folder, recorder, reason)
