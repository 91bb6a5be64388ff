"""A run in a folder is compared as it was kept, wherever that lies by now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.plugins.example_job import ExampleJob

from dioptra_worker.provenance.manifest import Manifest, read_manifest
from dioptra_worker.tools.capsule.comparison.comparing import differences
from dioptra_worker.tools.capsule.errors import CapsuleError, ChangedCapsule
from dioptra_worker.tools.capsule.replay.run_folder import evaluation_of_run

if TYPE_CHECKING:
    from pathlib import Path


def kept(folder: Path, job: ExampleJob, change: str = "") -> Path:
    """The folder of a run that has made what a job made."""
    data = job.manifest().decode()
    manifest: Manifest = read_manifest(data.encode())
    (scaled,) = manifest.outputs
    for path, text in {
        "artifacts/dioptra/manifest.json": data.replace(scaled.file_name, change)
        if change
        else data,
        f"artifacts/scaled/{scaled.file_name}": json.dumps(job.scaled),
        "metrics/number": "".join(f"1 {it} {n}\n" for n, it in enumerate(job.scaled)),
    }.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def test_what_differs_between_runs_is_named(tmp_path: Path) -> None:
    """By parameters, points and files; the folder need not lie in one of MLflow's."""
    first = evaluation_of_run(kept(tmp_path / "a", ExampleJob()))
    same = evaluation_of_run(kept(tmp_path / "deep/b", ExampleJob()))
    other = evaluation_of_run(kept(tmp_path / "c", ExampleJob(factor=4.0)))
    assert first.metrics == {"number": {0: 3.0, 1: 7.5}}
    assert differences(first, same) == []
    kinds = [it.kind for it in differences(first, other)]
    assert kinds == ["parameter", "metric", "metric", "artifact"]


def test_what_was_changed_since_is_refused(tmp_path: Path) -> None:
    """So is what is missing, and what is no run."""
    run = kept(tmp_path / "a", ExampleJob())
    (file,) = (run / "artifacts/scaled").iterdir()
    file.write_text("[0]")
    with pytest.raises(ChangedCapsule, match=r"scaled\.json: it was changed"):
        evaluation_of_run(run)
    file.unlink()
    with pytest.raises(ChangedCapsule, match="cannot be read"):
        evaluation_of_run(run)
    with pytest.raises(CapsuleError, match="give a run's own folder, such as") as told:
        evaluation_of_run(tmp_path)
    assert "Errno" not in str(told.value)
    (run / "artifacts/dioptra/manifest.json").write_text("[]")
    with pytest.raises(CapsuleError, match=r"manifest\.json is no manifest"):
        evaluation_of_run(run)


def test_names_do_not_lead_out_of_it(tmp_path: Path) -> None:
    """What the manifest names is read below the run's folder only."""
    run = kept(tmp_path / "a", ExampleJob(), change="..")
    with pytest.raises(CapsuleError, match="leads out"):
        evaluation_of_run(run)


def test_points_that_are_none_are_a_sentence(tmp_path: Path) -> None:
    """A file of metrics that something else has written is named."""
    run = kept(tmp_path / "a", ExampleJob())
    (run / "metrics/number").write_text("one\n")
    with pytest.raises(CapsuleError, match="metrics cannot be read"):
        evaluation_of_run(run)
