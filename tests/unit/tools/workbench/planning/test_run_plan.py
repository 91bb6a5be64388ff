"""An entrypoint with values, artifacts and choices, checked before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.tools.workbench.folders import EXAMPLES, sums, write

from dioptra_worker.common.files.workspace import workspace
from dioptra_worker.tools.workbench.errors import InvalidEntrypoint, InvalidRequest
from dioptra_worker.tools.workbench.planning.run_plan import choose
from dioptra_worker.tools.workbench.planning.run_request import RunRequest

if TYPE_CHECKING:
    from pathlib import Path

CONSUME = EXAMPLES / "artifact-chain/consume.yml"

SWAPPED: dict[str, Any] = {
    "graph": {
        "step": {"?how": {"?outputs": ["x"], "fast": {"a": []}, "slow": {"b": []}}}
    }
}


def test_a_plan_has_copies_of_the_plugins(tmp_path: Path) -> None:
    """What is run is what was there when the run began."""
    run_plan = RunRequest(path=sums(tmp_path), parameters={"start": "5"}).prepare()
    with workspace(tmp_path / "work", 0) as space:
        plan = run_plan.stage(space)
        (tmp_path / "plugins/sums/tasks.py").write_text("broken(")
        assert "def add" in (space.plugins / "sums/tasks.py").read_text()
        assert plan.parameters == {"start": 5}
        assert plan.plugins == str(space.plugins)


def test_a_plan_in_place_has_the_authors_own_files(tmp_path: Path) -> None:
    """Debuggers and coverage are led to the files that people edit."""
    run_plan = RunRequest(path=sums(tmp_path)).prepare()
    with workspace(tmp_path / "work", 0) as space:
        assert run_plan.stage_in_place(space).plugins == str(tmp_path / "plugins")


def test_a_wrong_graph_is_refused_with_its_lines(tmp_path: Path) -> None:
    """A task whose function is missing is found before anything runs."""
    file = sums(tmp_path)
    file.write_text(file.read_text().replace("sums.tasks.add", "sums.tasks.ad"))
    with pytest.raises(InvalidEntrypoint) as caught:
        RunRequest(path=file).prepare()
    (finding,) = caught.value.findings
    assert "Did you mean 'add'?" in finding.issue.message
    assert (finding.file, finding.issue.line) == (file, 6)


def test_swaps_are_chosen() -> None:
    """A choice takes the others away, and leaves the original as it is."""
    chosen = choose(SWAPPED, {"how": "slow"})
    assert chosen["graph"]["step"]["?how"] == {"?outputs": ["x"], "slow": {"b": []}}
    assert "fast" in SWAPPED["graph"]["step"]["?how"]


@pytest.mark.parametrize(
    ("swaps", "words"),
    [
        ({}, "'how' is open: choose 'fast' or 'slow', such as --swap how=fast"),
        ({"how": "slw"}, r"no choice 'slw'. Did you mean 'slow'\?"),
        ({"how": "slow", "hwo": "fast"}, r"no swap 'hwo'. Did you mean 'how'\?"),
    ],
)
def test_wrong_swaps(swaps: dict[str, str], words: str) -> None:
    """An open swap, an unknown one and an unknown choice are each one sentence."""
    with pytest.raises(InvalidRequest, match=words):
        choose(SWAPPED, swaps)


def _files(folder: Path) -> dict[str, str]:
    write(folder, {"r.json": "[]", "days/day-1.csv": ""})
    return {"readings": str(folder / "r.json"), "by_day": str(folder / "days")}


def test_artifacts_say_what_reads_them(tmp_path: Path) -> None:
    """Where types leave a choice, the user says which artifact task reads a file."""
    files = _files(tmp_path)
    with pytest.raises(
        InvalidRequest, match=r"say which, as in --artifact readings:Table"
    ):
        RunRequest(path=CONSUME, artifacts=files).prepare()
    named = {
        "readings:TableFile": files["readings"],
        "by_day:FolderOfTables": files["by_day"],
    }
    run_plan = RunRequest(path=CONSUME, artifacts=named).prepare()
    assert {given.name: given.task.name for given in run_plan.inputs} == {
        "readings": "TableFile",
        "by_day": "FolderOfTables",
    }
    with workspace(tmp_path / "work", 0) as space:
        plan = run_plan.stage(space)
        reading = next(item for item in plan.inputs if item.name == "readings")
        assert reading.file_name == "r.json"


def test_artifacts_of_an_earlier_run_know_their_task(tmp_path: Path) -> None:
    """A file that a run has kept is read with what wrote it."""
    run = write(
        tmp_path / "runs/0/abc",
        {
            "artifacts/readings/readings.json": "[]",
            "artifacts/by-day/by-day/day-1.csv": "",
            "tags/dioptra.artifactTask.readings": "TableFile",
            "tags/dioptra.artifactTask.by-day": "FolderOfTables",
        },
    )
    run_plan = RunRequest(
        path=CONSUME,
        artifacts={
            "readings": run / "artifacts/readings/readings.json",
            "by_day": run / "artifacts/by-day/by-day",
        },
    ).prepare()
    assert [given.task.name for given in run_plan.inputs] == [
        "TableFile",
        "FolderOfTables",
    ]


def test_wrong_artifacts(tmp_path: Path) -> None:
    """Unknown, missing and absent artifacts are all named at once."""
    files = _files(tmp_path)
    with pytest.raises(InvalidRequest) as caught:
        RunRequest(
            path=CONSUME,
            artifacts={
                "reading": files["readings"],
                "by_day:FolderOfTable": files["by_day"],
            },
        ).prepare()
    said = "\n".join(caught.value.problems)
    assert "no artifact input 'reading'. Did you mean 'readings'?" in said
    assert "'readings' is not given: --artifact readings=PATH" in said
    assert "no artifact task 'FolderOfTable'. Did you mean 'FolderOfTables'?" in said
    with pytest.raises(InvalidRequest, match="'readings' is given more than once"):
        RunRequest(
            path=CONSUME,
            artifacts={"readings": "a", "readings:TableFile": "b", "by_day": "c"},
        ).prepare()
    with pytest.raises(InvalidRequest, match="nowhere' does not exist"):
        RunRequest(
            path=CONSUME,
            artifacts={"readings": tmp_path / "nowhere", "by_day": files["by_day"]},
        ).prepare()
