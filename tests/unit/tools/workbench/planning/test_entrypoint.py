"""Which entrypoint a path means."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.unit.tools.workbench.folders import EXAMPLES, sums, write

from dioptra_worker import engine
from dioptra_worker.tools.workbench.errors import InvalidEntrypoint, InvalidRequest
from dioptra_worker.tools.workbench.planning.entrypoint import find

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_with_one_entrypoint() -> None:
    """The folder's only entrypoint is meant, with the plugins that it declares."""
    found = find(EXAMPLES / "hello-world")
    assert found.name == "hello-world"
    assert [plugin.name for plugin in found.plugins] == ["hello"]
    assert [plugin.name for plugin in found.artifact_plugins] == ["hello_artifacts"]
    assert [task.name for task in found.writers] == ["TextFile"]
    assert found.kinds == {"name": "string", "times": "integer"}


def test_a_folder_with_several_wants_one_named() -> None:
    """A folder with two entrypoints is answered with their files."""
    with pytest.raises(
        InvalidRequest, match=r"several .*'produce\.yml' or 'consume\.yml'"
    ):
        find(EXAMPLES / "artifact-chain")


def test_a_file_that_a_toml_names_has_what_it_declares() -> None:
    """A file's name chooses among the entrypoints of the folder."""
    found = find(EXAMPLES / "artifact-chain/consume.yml")
    assert found.name == "chain-consume"
    readers = {reader.task.name: reader.types for reader in found.readers}
    assert readers == {"TableFile": ("table",), "FolderOfTables": ("table",)}


def test_a_file_of_its_own(tmp_path: Path) -> None:
    """Without a toml, plugins and artifact tasks are found by their code."""
    found = find(sums(tmp_path))
    assert found.name == "sums"
    assert [plugin.name for plugin in found.plugins] == ["sums"]
    (task,) = found.writers
    assert (task.package, task.module, task.name) == ("sums", "tasks", "Number")
    assert find(tmp_path).file == found.file


NAMES = ("hello-world", "failing-job", "sklearn-evaluation", "artifact-chain")


@pytest.mark.parametrize("name", NAMES)
def test_the_short_form_gives_the_same_entrypoint(name: str, tmp_path: Path) -> None:
    """What the platform's import keeps of a graph is enough beside a toml."""
    source = EXAMPLES / name
    for file in source.glob("*.yml"):
        write(tmp_path, {"dioptra.toml": (source / "dioptra.toml").read_text()})
        whole = find(file)
        for other in source.glob("*.yml"):
            graph = yaml.safe_load(other.read_text())
            short = {"graph": graph["graph"]}
            if "artifact_outputs" in graph:
                short["artifacts"] = graph["artifact_outputs"]
            (tmp_path / other.name).write_text(yaml.safe_dump(short, sort_keys=False))
        shutil.copytree(source / "plugins", tmp_path / "plugins", dirs_exist_ok=True)
        made = find(tmp_path / file.name)
        assert not [
            issue
            for issue in engine.validate(made.config)
            if issue.severity is engine.Severity.ERROR
        ]
        assert made.config["graph"] == whole.config["graph"]
        assert made.config.get("parameters") == whole.config.get("parameters")
        assert made.config.get("artifact_outputs") == whole.config.get(
            "artifact_outputs"
        )
        used = {
            invocation
            for step in engine.compile(made.config).steps
            for invocation in [(step.task, step.plugin)]
        }
        assert used == {
            (step.task, step.plugin) for step in engine.compile(whole.config).steps
        }


def test_no_such_path_names_a_near_one() -> None:
    """A slip in the path is answered with what is there."""
    with pytest.raises(
        InvalidRequest, match=r"does not exist. Did you mean 'hello-world'\?"
    ):
        find(EXAMPLES / "hello-wrld")


def test_what_is_no_task_graph(tmp_path: Path) -> None:
    """YAML of another kind, broken YAML, and no plugins are each one sentence."""
    write(
        tmp_path,
        {"list.yml": "[1]", "broken.yml": "graph: [", "graph.yml": "graph: {a: b}"},
    )
    with pytest.raises(InvalidRequest, match="needs the sections 'tasks' and 'graph'"):
        find(tmp_path / "list.yml")
    with pytest.raises(InvalidEntrypoint, match=r"broken\.yml"):
        find(tmp_path / "broken.yml")
    with pytest.raises(InvalidRequest, match="has no section 'tasks'"):
        find(tmp_path / "graph.yml")
    with pytest.raises(InvalidRequest, match="several YAML files"):
        find(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InvalidRequest, match=r"neither a dioptra\.toml nor a YAML file"
    ):
        find(tmp_path / "empty")
    write(tmp_path / "above", {"b/dioptra.toml": "", "a/dioptra.toml": ""})
    with pytest.raises(InvalidRequest, match=r"give one of those in it, 'a' or 'b'"):
        find(tmp_path / "above")


def test_missing_plugins(tmp_path: Path) -> None:
    """A file without plugins beside it is told how to give them."""
    file = sums(tmp_path)
    (tmp_path / "plugins").rename(tmp_path / "code")
    with pytest.raises(InvalidRequest, match="give one with --plugins"):
        find(file)
    assert find(file, plugins=tmp_path / "code").plugins


def test_a_plugin_that_a_toml_does_not_declare(tmp_path: Path) -> None:
    """An entrypoint that names an unknown plugin is answered with the near one."""
    write(
        tmp_path,
        {
            "dioptra.toml": """
            [[plugins]]
            path = "plugins/sums"
            [[entrypoints]]
            path = "sums.yml"
            name = "sums"
            plugins = ["sms"]
            """
        },
    )
    sums(tmp_path)
    with pytest.raises(InvalidEntrypoint, match=r":7:12: .*'sms'.*mean 'sums'\?"):
        find(tmp_path)


PLATFORMS_LAYOUT = {
    "dioptra.toml": """
        [[plugins]]
        path = "plugins/greetings"

          [[plugins.tasks.functions]]
          filename = "tasks.py"
          name = "greet"
          input_params = [ { name = "name", type = "string", required = true } ]
          output_params = [ { name = "greeting", type = "string" } ]

        [[entrypoints]]
        path = "entrypoints/hello.yaml"
        name = "Hello"
        params = [ { name = "name", type = "string", default_value = "World" } ]
        plugins = [ "greetings" ]

        [[entrypoints]]
        path = "entrypoints/deep/again.yaml"
        name = "Hello again"
        plugins = [ "greetings" ]
    """,
    "other.toml": """
        [[plugins]]
        path = "plugins/greetings"

          [[plugins.tasks.functions]]
          filename = "tasks.py"
          name = "greet"
          input_params = []
          output_params = []

        [[entrypoints]]
        path = "entrypoints/other.yaml"
        name = "Another"
        plugins = [ "greetings" ]
    """,
    "entrypoints/hello.yaml": "graph: {step: {greet: [$name]}}",
    "entrypoints/deep/again.yaml": "graph: {step: {greet: [again]}}",
    "entrypoints/other.yaml": "graph: {step: {greet: [other]}}",
    "plugins/greetings/__init__.py": "",
    "plugins/greetings/tasks.py": "",
}
"""A configuration above the task graphs, and another one beside it."""


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("entrypoints/hello.yaml", "Hello"),
        ("entrypoints/deep/again.yaml", "Hello again"),
    ],
)
def test_a_toml_above(tmp_path: Path, file: str, name: str) -> None:
    """A file below a toml that names it has what that declares."""
    write(tmp_path, PLATFORMS_LAYOUT)
    found = find(tmp_path / file)
    assert found.name == name
    assert [plugin.name for plugin in found.plugins] == ["greetings"]
    assert tmp_path / "dioptra.toml" in found.watched()


def test_a_toml_of_another_name(tmp_path: Path) -> None:
    """A file that another toml names is found with that one, which is told."""
    write(tmp_path, PLATFORMS_LAYOUT)
    file, other = tmp_path / "entrypoints/other.yaml", tmp_path / "other.toml"
    with pytest.raises(
        InvalidRequest, match=f"give the file that does, --config {other}"
    ):
        find(file)
    for path in (file, tmp_path):
        assert find(path, config=other).name == "Another"
    with pytest.raises(InvalidRequest, match=r"it has 'entrypoints/other\.yaml'"):
        find(tmp_path / "entrypoints/hello.yaml", config=other)
    with pytest.raises(InvalidRequest, match="--plugins is for a file of its own"):
        find(file, config=other, plugins=tmp_path / "plugins")


def test_a_broken_toml_far_above_is_nobodys(tmp_path: Path) -> None:
    """What somebody has left in a folder above does not count, nor does one without."""
    (tmp_path / "dioptra.toml").write_text("[[[")
    folder = tmp_path / "mine"
    folder.mkdir()
    assert find(sums(folder)).folder is None
    (tmp_path / "dioptra.toml").write_text('[[entrypoints]]\npath = "other.yml"\n')
    assert find(folder / "sums.yml").folder is None
