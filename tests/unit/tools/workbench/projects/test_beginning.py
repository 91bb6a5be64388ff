"""Folders that are begun work as they are."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.tools.workbench.folders import write

from dioptra_worker.tools.workbench.planning.checking import verdicts
from dioptra_worker.tools.workbench.planning.run_request import RunRequest
from dioptra_worker.tools.workbench.projects import beginning
from dioptra_worker.tools.workbench.running.api_sessions import sessions
from dioptra_worker.tools.workbench.running.inprocess import run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_folder_is_valid_and_runs(tmp_path: Path) -> None:
    """What is written finishes at once, and keeps what it makes."""
    folder = tmp_path / "new"
    files = beginning.new("my-evaluation", folder)
    assert all(file.is_file() for file in files)
    assert all(one.valid and not one.issues for one in verdicts(folder))
    run_plan = RunRequest(path=folder).prepare()
    result = run(run_plan, folder=tmp_path / "runs", sessions=sessions({}))
    assert result.finished, result.log
    assert result.artifact("greeting").read_text().count("Hello, World!") == 2


@pytest.mark.process
def test_its_test_passes(tmp_path: Path) -> None:
    """The test that is written runs the entrypoint."""
    beginning.new("evaluation", tmp_path / "new")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    answer = subprocess.run(
        [*command, str(tmp_path / "new")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("name", ["", "1st", "a b", "../x", "x" * 65, "ä"])
def test_a_name_that_cannot_be(tmp_path: Path, name: str) -> None:
    """A name that the platform or Python would refuse is refused at once."""
    with pytest.raises(beginning.CannotBegin, match="cannot be the name"):
        beginning.new(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder with something in it stays as it is."""
    (tmp_path / "mine").write_text("")
    with pytest.raises(beginning.CannotBegin, match="--from-plugins"):
        beginning.new("evaluation", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


CODE = """
from dioptra import pyplugs

@pyplugs.register
def load(path: str, sizes: list[int], seed: int = 3) -> tuple[np.ndarray, "Labels"]:
    ...

@pyplugs.register
def train(x: np.ndarray, y: Labels, *, rate: float) -> Model:
    ...

def helper(x): ...

class File(ArtifactTaskInterface):
    def serialize(self): ...
    def deserialize(self): ...
"""


def test_from_plugins(tmp_path: Path) -> None:
    """What functions take and give is declared, and a graph calls them."""
    write(tmp_path, {"plugins/work/tasks.py": CODE})
    beginning.from_plugins("work", tmp_path)
    assert all(one.valid and not one.issues for one in verdicts(tmp_path))
    entrypoint = RunRequest(
        path=tmp_path, parameters={"path": "p", "rate": "0.1"}
    ).prepare()
    assert entrypoint.parameters == {"path": "p", "sizes": [], "rate": 0.1}
    graph = entrypoint.config["graph"]
    assert graph["train_step"]["train"] == {
        "x": "$load_step.value_1",
        "y": "$load_step.value_2",
        "rate": "$rate",
    }
    assert {"list_of_integer", "ndarray", "labels", "model"} == set(
        entrypoint.config["types"]
    )
    assert [task.name for task in entrypoint.entrypoint.writers] == ["File"]
    with pytest.raises(beginning.CannotBegin, match="sync"):
        beginning.from_plugins("work", tmp_path)


def test_from_no_plugins(tmp_path: Path) -> None:
    """A folder without code is said to have none, and stays empty."""
    with pytest.raises(beginning.CannotBegin, match="has no plugins"):
        beginning.from_plugins("work", tmp_path)
    assert not list(tmp_path.iterdir())
