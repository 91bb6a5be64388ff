"""Begins a folder with plugins and a task graph, from nothing or from code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dioptra_worker.errors import WorkerError
from dioptra_worker.tools.resources.config_file.keys import PARAMETER_TYPES
from dioptra_worker.tools.resources.folders import CONFIG, read_folder
from dioptra_worker.tools.workbench.planning import discovered
from dioptra_worker.tools.workbench.planning.entrypoint import PLUGINS
from dioptra_worker.tools.workbench.projects.sync import changes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.tools.resources.folders import ResourceFolder

TEMPLATES = Path(__file__).with_name("templates")
GRAPH = "entrypoint.yml"
FILES = {
    "plugins/@MODULE@/tasks.py": "tasks.py",
    "plugins/@MODULE@_artifacts/text.py": "text.py",
    GRAPH: "entrypoint.yml",
    CONFIG: "dioptra.toml",
    "test_@MODULE@.py": "test.py",
}
"""The templates by the files that they become, in the order in which to read them."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_MAX_LENGTH = 64


class CannotBegin(WorkerError):
    """The folder cannot be written."""


def new(name: str, folder: Path) -> list[Path]:
    """Write a plugin, a task graph, what declares them, and a test, which all work.

    Args:
        name: The entrypoint's name.
        folder: Where: a folder that is new or empty.

    Returns:
        The files.

    Raises:
        CannotBegin: The name cannot be used, the folder holds something, or it cannot
            be written.
    """
    if not _NAME.fullmatch(name) or len(name) > _MAX_LENGTH:
        raise CannotBegin(
            f"{name!r} cannot be the name: take ASCII letters, digits, '-' and '_', a"
            f" letter first, {_MAX_LENGTH} at most, such as my-evaluation"
        )
    if folder.is_dir() and any(folder.iterdir()):
        raise CannotBegin(
            f"{str(folder)!r} is not empty, and nothing is overwritten: name a new"
            " folder with --dir, or give --from-plugins if its plugins are there"
        )
    module = name.replace("-", "_")
    written = []
    for place, template in FILES.items():
        text = (TEMPLATES / f"{template}.template").read_text(encoding="utf-8")
        file = folder / place.replace("@MODULE@", module)
        _write(file, text.replace("@MODULE@", module).replace("@NAME@", name))
        written.append(file)
    return written


def from_plugins(name: str, folder: Path) -> list[Path]:
    """Write a ``dioptra.toml`` and a task graph for plugins that are there.

    Args:
        name: The entrypoint's name.
        folder: The folder that has the plugins in a folder ``plugins``.

    Returns:
        The files.

    Raises:
        CannotBegin: There are no plugins, or one of the files is there already.
        WorkerError: What the plugins declare cannot be used.
    """
    plugins = folder / PLUGINS
    packages = [
        one
        for one in (discovered.packages(plugins) if plugins.is_dir() else ())
        if one.is_dir()
    ]
    if not packages:
        raise CannotBegin(
            f"{str(plugins)!r} has no plugins: they are folders with Python files"
        )
    config, graph = folder / CONFIG, folder / GRAPH
    for file in (config, graph):
        if file.exists():
            raise CannotBegin(
                f"{str(file)!r} is there already: `dioptra-worker sync` keeps it in"
                " step with the plugins"
            )
    config_text = "\n".join(
        f'[[plugins]]\npath = "{PLUGINS}/{one.name}"\n' for one in packages
    )
    _write(config, config_text)
    try:
        changes(read_folder(config)).write()
        resources = read_folder(config)
        steps, parameters = _steps(resources)
        _write(graph, yaml.safe_dump({"graph": steps}, sort_keys=False))
        text = config.read_text(encoding="utf-8").rstrip("\n")
        _write(config, f"{text}\n\n{_entrypoint(name, resources, parameters)}")
    except BaseException:
        config.unlink(missing_ok=True)
        graph.unlink(missing_ok=True)
        raise
    return [config, graph]


def _steps(folder: ResourceFolder) -> tuple[dict[str, Any], dict[str, str]]:
    """A step for each task, fed by earlier ones where types fit, or by parameters."""
    structures = folder.structures
    steps: dict[str, Any] = {}
    parameters: dict[str, str] = {}
    made: dict[str, str] = {}
    for plugin in folder.config["plugins"]:
        for task in plugin.get("tasks", {}).get("functions", ()):
            given: dict[str, str] = {}
            for one in task["input_params"]:
                kind, name = one["type"], one["name"]
                if kind in made:
                    given[name] = made[kind]
                elif one.get("required"):
                    given[name] = f"${name}"
                    parameters[name] = _kind(kind, structures)
            step = f"{task['name']}_step"
            steps[step] = {task["name"]: given or []}
            outputs = task["output_params"]
            for one in outputs:
                if one["type"] in structures:
                    reference = f".{one['name']}" if len(outputs) > 1 else ""
                    made[one["type"]] = f"${step}{reference}"
    return steps, parameters


def _kind(named: str, structures: Mapping[str, Any]) -> str:
    """The type of a parameter that is given to an input of a type."""
    kind = {"number": "float"}.get(named, named)
    structure = structures.get(named) or {}
    if "list" in structure or "tuple" in structure:
        return "list"
    if "mapping" in structure:
        return "mapping"
    return kind if kind in PARAMETER_TYPES else "string"


def _entrypoint(
    name: str, folder: ResourceFolder, parameters: Mapping[str, str]
) -> str:
    def having(kind: str) -> str:
        names = [
            f'"{folder.plugin_name(one)}"'
            for one in folder.config["plugins"]
            if one.get("tasks", {}).get(kind)
        ]
        return f"[{', '.join(names)}]"

    defaults = {
        "list": ', default_value = "[]"',
        "mapping": ', default_value = "{}"',
    }
    rows = "".join(
        f'  {{ name = "{one}", type = "{kind}"{defaults.get(kind, "")} }},\n'
        for one, kind in parameters.items()
    )
    return (
        f'[[entrypoints]]\npath = "{GRAPH}"\nname = "{name}"\n'
        f"params = [{f'{chr(10)}{rows}' if rows else ''}]\n"
        f"plugins = {having('functions')}\n"
        f"artifact_plugins = {having('artifacts')}\n"
    )


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotBegin(
            f"{str(file)!r} cannot be written: {error.strerror}"
        ) from error
