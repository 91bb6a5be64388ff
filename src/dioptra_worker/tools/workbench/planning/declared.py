"""What a ``dioptra.toml`` declares, as the platform would give it to a worker.

The platform makes an entrypoint's configuration from what was registered and from the
graph; a graph of the import's short form has no more than that. Here the same is made
from the same, so that a run without a server sees what a job of the platform sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.typesystem.types import BUILT_IN
from dioptra_worker.protocol.messages import ArtifactTask
from dioptra_worker.tools.resources.parameters import declared_default

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dioptra_worker.engine.issues import Location
    from dioptra_worker.tools.resources.folders import ResourceFolder

_ENGINE_TYPES = {"float": "number"} | {
    name: name for name in ("string", "integer", "boolean")
}
"""The types of parameters that the task engine knows; the others have none."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """An artifact task as far as it reads.

    Attributes:
        task: The class.
        types: The types of the values that it reads; None when nothing declares them.
    """

    task: ArtifactTask
    types: tuple[str, ...] | None


def config(
    folder: ResourceFolder, entry: Mapping[str, Any], graph: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole configuration of an entrypoint.

    Args:
        folder: Its folder.
        entry: What its ``dioptra.toml`` says of it.
        graph: Its YAML file, of which the platform, too, takes the steps and the
            output artifacts only.
    """
    plugins = _plugins(folder, entry.get("plugins", []))
    whole: dict[str, Any] = {
        "types": _types(folder),
        "artifact_inputs": {
            parameter["name"]: _outputs(parameter.get("output_params", []))
            for parameter in entry.get("artifact_params", [])
        },
        "tasks": dict(_tasks(plugins)),
        "parameters": {
            parameter["name"]: _parameter(parameter)
            for parameter in entry.get("params", [])
        },
        "graph": graph.get("graph"),
        "artifact_outputs": graph.get("artifact_outputs", graph.get("artifacts")),
    }
    return {name: part for name, part in whole.items() if part}


def writers(
    folder: ResourceFolder, entry: Mapping[str, Any]
) -> tuple[ArtifactTask, ...]:
    """The artifact tasks that an entrypoint's task graph may name."""
    plugins = _plugins(folder, entry.get("artifact_plugins", []))
    return tuple(reader.task for reader in _readers(plugins))


def readers(folder: ResourceFolder) -> tuple[Reader, ...]:
    """All artifact tasks of a folder: an input may have been written with any."""
    names = [Path(plugin).name for plugin in folder.plugins]
    return tuple(_readers(_plugins(folder, names)))


def origin(
    folder: ResourceFolder, entry: Mapping[str, Any], path: Location
) -> Location | None:
    """Where the ``dioptra.toml`` has what a place of the configuration is made of.

    Returns:
        The place; None for what comes from the task graph's file.
    """
    number = next(i for i, one in enumerate(folder.entries) if one is entry)
    whose: Location = ("entrypoints", number)
    section, name, *rest = (*path, None, None)[: max(2, len(path))]
    match section:
        case "tasks":
            found = _origin_of_task(folder, entry, name)
            if not found:
                return (*whose, "plugins")
            parts = {"inputs": "input_params", "outputs": "output_params"}
            if rest and rest[0] in parts:
                return (*found, parts[str(rest[0])], *rest[1:2])  # type: ignore[arg-type]
            return (*found, "name")
        case "types":
            places = _numbered(folder.config.get("plugin_param_types", ()))
            return ("plugin_param_types", places.get(name, 0), "structure")
        case "parameters":
            places = _numbered(entry.get("params", ()))
            return (*whose, "params", places.get(name, 0))
        case "artifact_inputs":
            places = _numbered(entry.get("artifact_params", ()))
            return (*whose, "artifact_params", places.get(name, 0))
    return None


def _numbered(entries: Iterable[Mapping[str, Any]]) -> dict[object, int]:
    return {entry["name"]: number for number, entry in enumerate(entries)}


def _origin_of_task(
    folder: ResourceFolder, entry: Mapping[str, Any], name: object
) -> Location:
    used = entry.get("plugins", ())
    for number, plugin in enumerate(folder.config.get("plugins", ())):
        functions = plugin.get("tasks", {}).get("functions", ())
        places = _numbered(functions)
        if folder.plugin_name(plugin) in used and name in places:
            return ("plugins", number, "tasks", "functions", places[name])
    return ()


def _plugins(
    folder: ResourceFolder, names: list[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for plugin in folder.config.get("plugins", []):
        name = folder.plugin_name(plugin)
        if name in names:
            yield name, plugin.get("tasks", {})


def _readers(plugins: Iterator[tuple[str, Mapping[str, Any]]]) -> Iterator[Reader]:
    for package, tasks in plugins:
        for declared in tasks.get("artifacts", []):
            task = ArtifactTask(
                name=declared["name"],
                package=package,
                module=_module(declared["filename"]),
                plugin_snapshot_id=0,
                task_id=0,
            )
            outputs = declared.get("output_params", [])
            yield Reader(task=task, types=tuple(output["type"] for output in outputs))


def _types(folder: ResourceFolder) -> dict[str, Any]:
    return {k: v for k, v in folder.structures.items() if k not in BUILT_IN}


def _tasks(
    plugins: Iterator[tuple[str, Mapping[str, Any]]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, tasks in plugins:
        for function in tasks.get("functions", []):
            module = _module(function["filename"]).removesuffix("__init__").strip(".")
            task: dict[str, Any] = {
                "plugin": ".".join(
                    part for part in (name, module, function["name"]) if part
                )
            }
            if function.get("input_params"):
                task["inputs"] = [
                    {"required": False} | given for given in function["input_params"]
                ]
            if function.get("output_params"):
                task["outputs"] = _outputs(function["output_params"])
            yield function["name"], task


def _outputs(parameters: list[dict[str, str]]) -> Any:
    named = [{parameter["name"]: parameter["type"]} for parameter in parameters]
    return named[0] if len(named) == 1 else named


def kinds(entry: Mapping[str, Any]) -> dict[str, str]:
    """The declared kind of each parameter, such as ``float``."""
    return {
        parameter["name"]: parameter.get("type", "string")
        for parameter in entry.get("params", [])
    }


def _parameter(declared: Mapping[str, Any]) -> dict[str, Any]:
    kind = declared.get("type", "string")
    made: dict[str, Any] = {}
    if kind in _ENGINE_TYPES:
        made["type"] = _ENGINE_TYPES[kind]
    if "default_value" in declared:
        made["default"] = declared_default(declared)
    return made


def _module(file_name: str) -> str:
    return ".".join(PurePosixPath(file_name).with_suffix("").parts)
