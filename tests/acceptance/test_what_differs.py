"""Of two jobs exactly what was changed is named, on the real platform."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.people import Person
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MAKER = """
@pyplugs.register
def begin(text):
    return text
"""
TOML = """
[[plugins]]
path = "plugins/@NAME@"
  [[plugins.tasks.functions]]
  filename = "tasks.py"
  name = "scale"
  input_params = [
    { name = "given", type = "any" }, { name = "factor", type = "number" },
  ]
  output_params = [{ name = "text", type = "string" }]
  [[plugins.tasks.artifacts]]
  filename = "tasks.py"
  name = "Kept"
  output_params = [{ name = "text", type = "string" }]

[[entrypoints]]
path = "entrypoint.yml"
name = "@NAME@"
params = [{ name = "factor", type = "float", default_value = "2.0" }]
artifact_params = [
  { name = "given", output_params = [{ name = "given", type = "any" }] },
]
plugins = ["@NAME@"]
artifact_plugins = ["@NAME@"]
"""
GRAPH = """
graph:
  scaled:
    scale: [$given, $factor]
artifact_outputs:
  kept: {contents: $scaled, task: {name: Kept}}
"""
TASKS = '''
import random
from pathlib import Path
from dioptra import pyplugs
from dioptra.sdk.api.artifact import ArtifactTaskInterface


@pyplugs.register
def scale(given, factor):
    """Scale it."""
    return f"{given} {factor} WORDS"


class Kept(ArtifactTaskInterface):
    """A text."""

    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        path = Path(working_dir, f"{name}.txt")
        path.write_text(contents)
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return Path(working_dir, path).read_text()

    @staticmethod
    def validation():
        return None
'''


class _Evaluation:
    """An entrypoint whose files lie in a folder, as its author has it."""

    def __init__(self, platform: Platform, person: Person, folder: Path) -> None:
        self.name = f"differing_{uuid.uuid4().hex[:8]}"
        self._platform, self._person, self._folder = platform, person, folder
        (folder / "plugins" / self.name).mkdir(parents=True)
        (folder / "plugins" / self.name / "__init__.py").touch()
        (folder / "dioptra.toml").write_text(TOML.replace("@NAME@", self.name))
        (folder / "entrypoint.yml").write_text(GRAPH)

    def run(self, artifact: int, *more: object, words: str = "as ever") -> int:
        """Import the folder, and run a job; returns its id."""
        tasks = self._folder / "plugins" / self.name / "tasks.py"
        tasks.write_text(TASKS.replace("WORDS", words))
        self._person.told("import", self._folder)
        queue = self._platform.queue
        made: dict[str, Any] = self._person.json(
            "jobs", "submit", self.name, "--experiment", self.name, "--queue", queue,
            "--artifact", f"given={artifact}", "--json", *more,
        )  # fmt: skip
        job: int = made["id"]
        assert self._platform.wait(job) == "finished", self._platform.text(job)
        return job

    def differing(self, first: int, second: int) -> list[tuple[str, str]]:
        """What differs between two jobs: kinds and names."""
        ended = self._person.call("jobs", "diff", first, second, "--json")
        found = [(it["kind"], it["name"]) for it in json.loads(ended.stdout)]
        assert ended.returncode == bool(found), ended.stderr
        return found


def _installed(folder: Path, version: str) -> dict[str, str]:
    """What makes a package of a version be installed for a worker."""
    about = folder / version / f"differing_toy-{version}.dist-info"
    about.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: differing-toy\nVersion: {version}\n"
    (about / "METADATA").write_text(text)
    return {"PYTHONPATH": str(about.parent)}


def test_exactly_what_was_changed_is_named(
    stack: LocalStack, platform: Platform, person: Person, tmp_path: Path
) -> None:
    """A parameter, one letter of a plugin, an input, a package, or nothing."""
    maker = platform.entrypoint(
        MAKER,
        {"begun": {"begin": ["$text"]}},
        parameters={"text": "one"},
        artifact_outputs={"note": {"contents": "$begun", "task": {"name": "Text"}}},
    )
    evaluation = _Evaluation(platform, person, tmp_path / "evaluation")
    result = ("artifact", "outputs/kept/kept.txt")
    first_version, second_version = (
        _installed(tmp_path, version) for version in ("1.0", "1.1")
    )
    with worker(stack.environment(), tmp_path, platform.queue, settings=first_version):
        one, two = (
            platform.artifacts(platform.run(maker, values={"text": text}))["note"]["id"]
            for text in ("one", "two")
        )
        first = evaluation.run(one)
        again = evaluation.run(one)
        parameter = evaluation.run(one, "-P", "factor=3.0")
        given = evaluation.run(two)
        plugin = evaluation.run(one, words="as never")
        with_first = evaluation.run(one)
    with worker(stack.environment(), tmp_path, platform.queue, settings=second_version):
        with_second = evaluation.run(one)

    assert evaluation.differing(first, again) == []
    changed = [("parameter", "factor"), result]
    assert evaluation.differing(first, parameter) == changed
    changed = [("input", "inputs/given/note.txt"), result]
    assert evaluation.differing(first, given) == changed
    files = (
        f"plugins/{role}/{evaluation.name}/tasks.py" for role in ("artifacts", "tasks")
    )  # it writes the artifact, too
    changed = [*(("plugin file", file) for file in files), result]
    assert evaluation.differing(first, plugin) == changed
    changed = [("package", "differing-toy")]
    assert evaluation.differing(with_first, with_second) == changed
