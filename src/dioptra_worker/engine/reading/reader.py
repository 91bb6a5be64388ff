"""Read a document into records; its shape has been checked (see `shape`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from dioptra_worker.engine.model import (
    Argument,
    ArtifactInput,
    ArtifactOutput,
    Entrypoint,
    Input,
    Invocation,
    Output,
    Outputs,
    Parameter,
    Step,
    Swap,
    Task,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.engine.issues import Location

Record = TypeVar("Record")

SWAP_MARK = "?"
SWAP_OUTPUTS = "?outputs"


def read(data: Mapping[str, Any]) -> Entrypoint:
    """Build the records of a document of the right shape."""
    return Entrypoint(
        types=data.get("types", {}),
        parameters=_section(data, "parameters", _parameter),
        artifact_inputs=_section(data, "artifact_inputs", _artifact_input),
        tasks=_section(data, "tasks", _task),
        steps=_section(data, "graph", _step),
        artifact_outputs=_section(data, "artifact_outputs", _artifact_output),
    )


def _section(
    data: Mapping[str, Any], name: str, build: Callable[[str, Any, Location], Record]
) -> dict[str, Record]:
    return {k: build(k, v, (name, k)) for k, v in data.get(name, {}).items()}


def _parameter(name: str, value: Any, path: Location) -> Parameter:
    if not isinstance(value, dict):
        return Parameter(name, None, value, True, path, path)
    return Parameter(
        name,
        value.get("type"),
        value.get("default"),
        "default" in value,
        path,
        (*path, "default"),
    )


def _artifact_input(name: str, value: Any, path: Location) -> ArtifactInput:
    return ArtifactInput(name, _outputs(value, path), path)


def _artifact_output(name: str, value: Any, path: Location) -> ArtifactOutput:
    task = value["task"]
    args = task.get("args", {})
    return ArtifactOutput(name, value["contents"], task["name"], args, path)


def _task(name: str, value: Any, path: Location) -> Task:
    inputs = tuple(
        _input(entry, (*path, "inputs", index))
        for index, entry in enumerate(value.get("inputs", []))
    )
    outputs = _outputs(value.get("outputs", []), (*path, "outputs"))
    return Task(name, value["plugin"], inputs, outputs, path)


def _input(entry: Mapping[str, Any], path: Location) -> Input:
    if "name" in entry:
        required = entry.get("required", True)
        return Input(entry["name"], entry["type"], required, (*path, "type"))
    ((name, type_name),) = entry.items()
    return Input(name, type_name, True, (*path, name))


def _outputs(value: Any, path: Location) -> Outputs:
    if isinstance(value, dict):
        ((name, type_name),) = value.items()
        return Outputs((Output(name, type_name, (*path, name)),), listed=False)
    items = []
    for index, entry in enumerate(value):
        ((name, type_name),) = entry.items()
        items.append(Output(name, type_name, (*path, index, name)))
    return Outputs(tuple(items))


def _step(name: str, value: Mapping[str, Any], path: Location) -> Step:
    dependencies = _dependencies(value.get("dependencies", []), path)
    rest = {k: v for k, v in value.items() if k != "dependencies"}
    key = next(iter(rest))
    invocation: Invocation | Swap
    if key.startswith(SWAP_MARK):
        invocation = _swap(key, rest[key], (*path, key))
    else:
        invocation = _invocation(rest, path)
    return Step(name, invocation, dependencies, path)


def _dependencies(
    value: str | list[str], path: Location
) -> tuple[tuple[str, Location], ...]:
    path = (*path, "dependencies")
    if isinstance(value, str):
        return ((value, path),)
    return tuple((name, (*path, index)) for index, name in enumerate(value))


def _swap(key: str, value: Mapping[str, Any], path: Location) -> Swap:
    choices = {
        alias: _invocation(choice, (*path, alias))
        for alias, choice in value.items()
        if alias != SWAP_OUTPUTS
    }
    return Swap(key[1:], tuple(value[SWAP_OUTPUTS]), choices, path)


def _invocation(value: Mapping[str, Any], path: Location) -> Invocation:
    if "task" in value:
        arguments = _arguments(value.get("args", []), (*path, "args"))
        keywords = _arguments(value.get("kwargs", {}), (*path, "kwargs"))
        return Invocation(value["task"], arguments + keywords, path, (*path, "task"))
    ((task, given),) = value.items()
    path_of_task = (*path, task)
    return Invocation(task, _arguments(given, path_of_task), path, path_of_task)


def _arguments(given: Any, path: Location) -> tuple[Argument, ...]:
    """Read a mapping as keywords, a list as positions, anything else as one."""
    if isinstance(given, dict):
        return tuple(Argument(k, v, (*path, k)) for k, v in given.items())
    if isinstance(given, list):
        return tuple(Argument(i, v, (*path, i)) for i, v in enumerate(given))
    return (Argument(0, given, path),)
