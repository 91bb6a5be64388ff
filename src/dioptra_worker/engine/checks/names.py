"""Are the names usable: not blank, free of dots where a dot would mislead, distinct?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.engine.reading.places import begin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dioptra_worker.engine.issues import Location, Report
    from dioptra_worker.engine.model import Entrypoint, Input, Output


def check_names(entrypoint: Entrypoint, report: Report) -> None:
    """Report blank, dotted and colliding names."""
    sections = {
        "types": entrypoint.types,
        "parameters": entrypoint.parameters,
        "tasks": entrypoint.tasks,
        "graph": entrypoint.steps,
    }
    for section, names in sections.items():
        for name in names:
            if not name.strip():
                message = f"A name in {section!r} is blank. Give it a name."
                report.error(message, (section, name))
    for section in ("parameters", "graph"):
        for name in sections[section]:
            if "." in name:
                message = f"{begin((section, name))} has a dot in its name, but in a"
                message += " reference a dot stands before an output. Rename it."
                report.error(message, (section, name))
    _check_collisions(entrypoint, report)
    _check_signatures(entrypoint, report)


def _check_collisions(entrypoint: Entrypoint, report: Report) -> None:
    for name in entrypoint.steps:
        if name in entrypoint.parameters:
            message = (
                f"{name!r} is both a step and a parameter, so nobody can tell what"
            )
            message += f" '${name}' means. Rename one of them."
            report.error(message, ("graph", name))
    for name in entrypoint.artifact_inputs:
        for noun, others in (
            ("step", entrypoint.steps),
            ("parameter", entrypoint.parameters),
        ):
            if name in others:
                message = f"{name!r} is both an artifact input and a {noun}, and"
                message += f" '${name}' means the {noun}. Rename one of them."
                report.warning(message, ("artifact_inputs", name))


def _check_signatures(entrypoint: Entrypoint, report: Report) -> None:
    for task in entrypoint.tasks.values():
        for output, path in _repeated(task.outputs):
            message = f"Task {task.name!r} declares the output {output!r} twice."
            report.error(message, path)
        for given, path in _repeated(task.inputs):
            message = f"Task {task.name!r} declares the input {given!r} twice."
            report.error(message, path)
    for artifact in entrypoint.artifact_inputs.values():
        for output, path in _repeated(artifact.outputs):
            message = f"Artifact input {artifact.name!r} declares the output {output!r}"
            report.warning(f"{message} twice; the last value is used.", path)
        if not artifact.outputs.items:
            message = f"Artifact input {artifact.name!r} has no outputs, so nothing can"
            report.warning(f"{message} refer to it.", artifact.path)


def _repeated(items: Iterable[Input | Output]) -> list[tuple[str, Location]]:
    seen: set[str] = set()
    found = []
    for item in items:
        if item.name in seen:
            found.append((item.name, item.path))
        seen.add(item.name)
    return found
