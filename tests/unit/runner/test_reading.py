"""Input artifacts are read with the code that was there when they were written."""

from __future__ import annotations

import pickle
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from dioptra_worker.protocol.messages import InputArtifact, Plan
from dioptra_worker.runner.job import JobFailed, _Bundles

if TYPE_CHECKING:
    from pathlib import Path

MODEL = """
class Model:
    def __init__(self, size):
        self.size = size
"""
PICKLES = """
import pickle
from pathlib import Path
from dioptra_worker.sdk.artifact import ArtifactTaskInterface


class Pickle(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        path = Path(working_dir, name)
        path.write_bytes(pickle.dumps(contents))
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return pickle.loads(Path(working_dir, path).read_bytes())
"""


def _package(folder: Path, name: str, file: str, source: str) -> str:
    package = folder / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / file).write_text(source)
    return str(folder)


def _pickled(folder: Path) -> bytes:
    """A plugin's class as another job has pickled it, in a process of its own."""
    program = (
        "import pickle, sys; from odd_models.net import Model;"
        " sys.stdout.buffer.write(pickle.dumps(Model(7)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, check=True
    )
    return done.stdout


def _read(tmp_path: Path, *, tasks: str, writers: str, content: bytes) -> Any:
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact/model").write_bytes(content)
    readers = _package(tmp_path / "readers", "odd_pickles", "tasks.py", PICKLES)
    item = InputArtifact(
        name="model",
        directory=str(tmp_path / "artifact"),
        file_name="model",
        bundle=readers,
        package="odd_pickles",
        module="tasks",
        task="Pickle",
        outputs=("value",),
    )
    plan = Plan(
        job_id=1,
        entrypoint="e",
        config={},
        parameters={},
        artifact_tasks=(),
        inputs=(item,),
        plugins=tasks,
        artifact_plugins=writers,
    )
    graph = cast("Any", SimpleNamespace(artifact_inputs={}))
    return _Bundles(plan, lambda: None).read(item, graph)["value"]


@pytest.mark.process
@pytest.mark.parametrize("place", ["tasks", "writers"])
def test_a_pickled_class_of_a_plugin(tmp_path: Path, place: str) -> None:
    """A class of the entrypoint's plugins is found again by who reads its pickle."""
    (tmp_path / "empty").mkdir()
    folders = {"tasks": str(tmp_path / "empty"), "writers": str(tmp_path / "empty")}
    folders[place] = _package(tmp_path / place, "odd_models", "net.py", MODEL)
    content = _pickled(tmp_path / place)
    assert _read(tmp_path, **folders, content=content).size == 7
    assert [name for name in sys.modules if name.startswith("odd_")] == []


def test_a_pickled_class_of_nobody(tmp_path: Path) -> None:
    """A class of a plugin that the entrypoint has not is named."""
    (tmp_path / "empty").mkdir()
    empty = str(tmp_path / "empty")
    content = pickle.dumps(len, protocol=0).replace(b"__builtin__", b"odd_models.net")
    with pytest.raises(
        JobFailed, match=r"'model' could not be read by Pickle: .*odd_mod"
    ):
        _read(tmp_path, tasks=empty, writers=empty, content=content)
