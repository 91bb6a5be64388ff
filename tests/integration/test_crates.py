"""What tools of others make of a capsule: rocrate and runcrate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.plugins.crate_tools import with_crate_tools
from tests.plugins.example_job import ExampleJob

from dioptra_worker.tools.capsule.making import make

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

READ = """
import json, sys
from rocrate.rocrate import ROCrate
crate = ROCrate(sys.argv[1])
(run,) = crate.get_by_type("CreateAction")
print(json.dumps({
    "workflow": crate.mainEntity.id,
    "kind": crate.mainEntity.type,
    "instrument": run["instrument"].id,
    "object": [it.id for it in run["object"]],
    "result": [it.id for it in run["result"]],
    "example": crate.dereference(run["result"][0].id)["exampleOfWork"].id,
    "files": [it.id for it in crate.data_entities],
}))
"""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    make(ExampleJob(), tmp_path / "42.crate.zip")
    return tmp_path / "42.crate.zip"


def test_rocrate_reads_it(file: Path) -> None:
    """The workflow, the run, what it took and what it gave are where they belong."""
    found = json.loads(with_crate_tools("-c", READ, str(file)))
    assert found["workflow"] == found["instrument"] == "workflow/entrypoint.yml"
    assert "ComputationalWorkflow" in found["kind"]
    assert found["object"] == ["#value-factor", "inputs/given/given.json"]
    assert found["result"] == ["outputs/scaled/scaled.json"]
    assert found["example"] == "#output-scaled"
    assert "plugins/tasks/scaling/tasks.py" in found["files"]


def test_runcrate_reports_it(file: Path) -> None:
    """The report of a run names its parameters, inputs and outputs."""
    said = with_crate_tools("-m", "runcrate.cli", "report", str(file))
    assert "3.0 <- #parameter-factor" in said
    assert "inputs/given/given.json" in said
    assert "outputs/scaled/scaled.json" in said
    assert "ended: 2026-01-01T00:00:02Z" in said
