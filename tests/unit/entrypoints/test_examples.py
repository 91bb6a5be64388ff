"""The ready-made entrypoints: whole, consistent, and loadable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker import engine
from dioptra_worker.runner.plugins.bundle import Bundle
from dioptra_worker.tools.resources.archive import pack
from dioptra_worker.tools.resources.folders import find_folders

if TYPE_CHECKING:
    from dioptra_worker.tools.resources import ResourceFolder

ROOT = Path(__file__).resolve().parents[3] / "entrypoints"
FOLDERS = find_folders([ROOT])
BUILT_IN = {"string", "integer", "number", "boolean", "null", "any"}
GRAPH_TYPES = {"float": "number", "list": None, "mapping": None}
"""How a task graph calls a parameter's type, where ``dioptra.toml`` says otherwise."""

GRAPHS = [
    pytest.param(folder, entry, id=entry["name"])
    for folder in FOLDERS
    for entry in folder.config["entrypoints"]
]


def _bundle(folder: ResourceFolder) -> Bundle:
    return Bundle(folder.path / "plugins", label="the example's plugins")


def _plugin(folder: ResourceFolder, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        plugin
        for plugin in folder.config["plugins"]
        if Path(plugin["path"]).name == name
    )
    return found


def _module(file_name: str) -> str:
    return file_name.removesuffix(".py")


def _declared_outputs(task: dict[str, Any]) -> Any:
    outputs = [{o["name"]: o["type"]} for o in task["output_params"]]
    return outputs[0] if len(outputs) == 1 else outputs or None


def _document(folder: ResourceFolder, entry: dict[str, Any]) -> Any:
    return engine.load(folder.path / entry["path"]).data


@pytest.mark.parametrize(("folder", "entry"), GRAPHS)
def test_graph_is_valid(folder: ResourceFolder, entry: dict[str, Any]) -> None:
    """The validator, which knows the artifact tasks, finds nothing at all to say."""
    bundle = _bundle(folder)
    tasks: dict[str, Any] = {}
    for name in entry.get("artifact_plugins", []):
        for task in _plugin(folder, name)["tasks"]["artifacts"]:
            found: Any = bundle.artifact_task(
                name, _module(task["filename"]), task["name"]
            )
            tasks[task["name"]] = found.validation()
    document = engine.load(folder.path / entry["path"])
    assert engine.validate(document, artifact_tasks=tasks) == []


@pytest.mark.parametrize(("folder", "entry"), GRAPHS)
def test_tasks_agree(folder: ResourceFolder, entry: dict[str, Any]) -> None:
    """The task graph declares the tasks that ``dioptra.toml`` registers, no others."""
    registered = {}
    for name in entry["plugins"]:
        for task in _plugin(folder, name)["tasks"].get("functions", []):
            declared: dict[str, Any] = {
                "plugin": f"{name}.{_module(task['filename'])}.{task['name']}"
            }
            if task["input_params"]:
                declared["inputs"] = task["input_params"]
            if task["output_params"]:
                declared["outputs"] = _declared_outputs(task)
            registered[task["name"]] = declared
    assert _document(folder, entry)["tasks"] == registered


@pytest.mark.parametrize(("folder", "entry"), GRAPHS)
def test_parameters_agree(folder: ResourceFolder, entry: dict[str, Any]) -> None:
    """Parameters have the same types and defaults in both files."""
    registered = {
        parameter["name"]: (
            GRAPH_TYPES.get(parameter["type"], parameter["type"]),
            parameter["default_value"],
        )
        for parameter in entry.get("params", [])
    }
    declared = {
        name: (parameter.get("type"), str(parameter["default"]))
        for name, parameter in _document(folder, entry).get("parameters", {}).items()
    }
    assert declared == registered


@pytest.mark.parametrize(("folder", "entry"), GRAPHS)
def test_artifact_inputs_agree(folder: ResourceFolder, entry: dict[str, Any]) -> None:
    """Artifact inputs have the same outputs in both files."""
    registered = {
        parameter["name"]: _declared_outputs(parameter)
        for parameter in entry.get("artifact_params", [])
    }
    assert _document(folder, entry).get("artifact_inputs", {}) == registered


@pytest.mark.parametrize(("folder", "entry"), GRAPHS)
def test_types_agree(folder: ResourceFolder, entry: dict[str, Any]) -> None:
    """Every type of the task graph is registered, with the same structure."""
    registered = {
        kind["name"]: kind.get("structure")
        for kind in folder.config.get("plugin_param_types", [])
    }
    declared = _document(folder, entry).get("types", {})
    assert not BUILT_IN & registered.keys()
    assert declared == {name: registered[name] for name in declared}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.path.name)
def test_plugins_load(folder: ResourceFolder) -> None:
    """Every task that is registered is there, and every artifact task is whole."""
    bundle = _bundle(folder)
    for plugin in folder.config["plugins"]:
        name = Path(plugin["path"]).name
        for task in plugin["tasks"].get("functions", []):
            dotted = f"{name}.{_module(task['filename'])}.{task['name']}"
            assert callable(bundle.function(dotted))
        for task in plugin["tasks"].get("artifacts", []):
            module = _module(task["filename"])
            found: Any = bundle.artifact_task(name, module, task["name"])
            assert isinstance(found.validation(), dict)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.path.name)
def test_readme(folder: ResourceFolder) -> None:
    """Each example has a README, which names its entrypoints and how to import it."""
    text = (folder.path / "README.md").read_text(encoding="utf-8")
    assert f"dioptra-worker import entrypoints/{folder.path.name}" in text
    for entry in folder.config["entrypoints"]:
        assert f"`{entry['name']}`" in text


def test_names_are_apart() -> None:
    """No two examples register the same name: an import would change the other's."""
    for kind in ("plugins", "plugin_param_types", "entrypoints"):
        names = [
            entry.get("name") or Path(entry["path"]).name
            for folder in FOLDERS
            for entry in folder.config.get(kind, [])
        ]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.path.name)
def test_packs(folder: ResourceFolder) -> None:
    """Each example can be packed, twice into the same bytes."""
    assert pack(folder) == pack(folder)
