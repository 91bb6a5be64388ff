"""A small entrypoint on disk, for tests to change."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

EXAMPLES = Path(__file__).resolve().parents[4] / "entrypoints"

GRAPH = """
parameters:
  start: {type: integer, default: 1}
tasks:
  add:
    plugin: sums.tasks.add
    inputs: [{name: a, type: integer}, {name: b, type: integer}]
    outputs: {sum: integer}
graph:
  first: {add: [$start, 1]}
  second: {add: [$first, 10]}
artifact_outputs:
  total:
    contents: $second
    task: {name: Number}
"""

TASKS = """
from pathlib import Path

from dioptra import pyplugs
from dioptra.sdk.api.artifact import ArtifactTaskInterface


@pyplugs.register
def add(a, b):
    print("adding", a, b)
    return a + b


class Number(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        path = Path(working_dir, name + ".txt")
        path.write_text(str(contents))
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return int(Path(working_dir, path).read_text())

    @staticmethod
    def validation():
        return None
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files below a folder, which is made; returns it."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")
    return folder


def sums(folder: Path) -> Path:
    """An entrypoint that adds numbers; its file."""
    write(
        folder,
        {
            "sums.yml": GRAPH,
            "plugins/sums/__init__.py": "",
            "plugins/sums/tasks.py": TASKS,
        },
    )
    return folder / "sums.yml"
