"""Are tasks, parameters and artifact inputs declared with a plugin and known types?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.engine.typesystem.fit import fits
from dioptra_worker.engine.typesystem.inference import infer
from dioptra_worker.engine.wording import quote, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.engine.issues import Location, Report
    from dioptra_worker.engine.model import Entrypoint, Parameter
    from dioptra_worker.engine.typesystem.types import Type


def check_declarations(
    entrypoint: Entrypoint, types: Mapping[str, Type | None], report: Report
) -> None:
    """Report unusable plugin paths, unknown types and defaults of another type."""
    for task in entrypoint.tasks.values():
        _check_plugin(task.name, task.plugin, (*task.path, "plugin"), report)
        for item in [*task.inputs, *task.outputs]:
            noun = "Output" if item in task.outputs.items else "Input"
            owner = f"{noun} {item.name!r} of task {task.name!r}"
            _check_type(owner, item.type, item.path, types, report)
    for artifact in entrypoint.artifact_inputs.values():
        for output in artifact.outputs:
            owner = f"Output {output.name!r} of artifact input {artifact.name!r}"
            _check_type(owner, output.type, output.path, types, report)
    for parameter in entrypoint.parameters.values():
        if parameter.type is not None:
            owner = f"Parameter {parameter.name!r}"
            path = (*parameter.path, "type")
            _check_type(owner, parameter.type, path, types, report)
            _check_default(parameter, types.get(parameter.type), report)


def _check_default(parameter: Parameter, declared: Type | None, report: Report) -> None:
    if not parameter.has_default or declared is None:
        return
    given = infer(parameter.default)
    if not fits(given, declared):
        message = f"Parameter {parameter.name!r} is declared as {parameter.type!r}, but"
        message += f" its default {quote(parameter.default)} is of type '{given}'."
        report.error(message, parameter.default_path)


def _check_plugin(task: str, plugin: str, path: Location, report: Report) -> None:
    parts = plugin.split(".")
    if len(parts) > 1 and all(parts):
        return
    message = (
        f"Task {task!r} names the plugin {plugin!r}; it must be the dotted path of"
    )
    message += " a function, such as 'package.module.function'."
    report.error(message, path)


def _check_type(
    owner: str,
    name: str,
    path: Location,
    types: Mapping[str, Type | None],
    report: Report,
) -> None:
    if name not in types:
        message = f"{owner} is of type {name!r}, which is not defined"
        message += f" {report.where('types')} and not built in."
        report.error(message + suggestion(name, types), path)
