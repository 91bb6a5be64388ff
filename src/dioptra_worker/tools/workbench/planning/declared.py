"""What a ``dioptra.toml`` declares, as the platform would give it to a worker.

The platform makes an entrypoint's configuration from what was registered and from the
graph; a graph of the import's short form has no more than that. Here the same is made
from the same, so that a run without a server sees what a job of the platform sees.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.typesystem.types import BUILT_IN
from dioptra_worker.protocol.messages import ArtifactTask
from dioptra_worker.tools.workbench.errors import InvalidRequest
from dioptra_worker.tools.workbench.planning.values import NotOfType, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
            parameter["name"]: _parameter(folder, parameter)
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


def _plugins(
    folder: ResourceFolder, names: list[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for plugin in folder.config.get("plugins", []):
        name = Path(plugin["path"]).name
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
    return {
        declared["name"]: declared.get("structure")
        for declared in folder.config.get("plugin_param_types", [])
        if declared["name"] not in BUILT_IN
    }


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
                    {"required": True} | given for given in function["input_params"]
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


def _parameter(folder: ResourceFolder, declared: Mapping[str, Any]) -> dict[str, Any]:
    kind = declared.get("type", "string")
    made: dict[str, Any] = {}
    if kind in _ENGINE_TYPES:
        made["type"] = _ENGINE_TYPES[kind]
    if "default_value" in declared:
        try:
            made["default"] = parse(_text(declared["default_value"]), kind)
        except NotOfType as error:
            raise InvalidRequest(
                f"{folder.file}: the default of parameter"
                f" {declared.get('name')!r}: {error}"
            ) from None
    return made


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _module(file_name: str) -> str:
    return ".".join(PurePosixPath(file_name).with_suffix("").parts)
