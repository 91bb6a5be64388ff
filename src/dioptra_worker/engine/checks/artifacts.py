"""Do output artifacts name contents, an artifact task, and arguments that it takes?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.engine import references
from dioptra_worker.engine.checks.links import check_reference
from dioptra_worker.engine.wording import quote, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.engine.issues import Report
    from dioptra_worker.engine.model import ArtifactOutput
    from dioptra_worker.engine.scope import Scope

    ArtifactTasks = Mapping[str, Mapping[str, Any] | None]


def check_artifacts(scope: Scope, tasks: ArtifactTasks | None, report: Report) -> None:
    """Report unknown contents and artifact tasks, and arguments they do not take."""
    for artifact in scope.entrypoint.artifact_outputs.values():
        reference = references.parse(artifact.contents)
        problem = check_reference(reference, scope) if reference else None
        if problem:
            message = f"Output artifact {artifact.name!r} refers to {problem}"
            report.error(message, (*artifact.path, "contents"))
        if tasks is None:
            continue
        if artifact.task not in tasks:
            hint = suggestion(artifact.task, tasks, "The entrypoint has none.")
            message = f"Output artifact {artifact.name!r} is serialised by"
            message += f" {artifact.task!r}, which is no artifact task of this"
            message += f" entrypoint's artifact plugins.{hint}"
            report.error(message, (*artifact.path, "task", "name"))
        else:
            _check_args(artifact, tasks[artifact.task] or {}, report)


def _check_args(
    artifact: ArtifactOutput, accepted: Mapping[str, Any], report: Report
) -> None:
    path = (*artifact.path, "task", "args")
    for name, value in artifact.args.items():
        if name not in accepted:
            hint = suggestion(name, accepted, "It declares none.")
            message = f"Artifact task {artifact.task!r} does not declare the argument"
            report.warning(f"{message} {name!r}.{hint}", (*path, name))
            continue
        problem = _mismatch(value, accepted[name])
        if problem:
            message = f"Output artifact {artifact.name!r} gives {quote(value)} for"
            message += f" {name!r} of artifact task {artifact.task!r}: {problem}"
            report.error(message, (*path, name))


def _mismatch(value: Any, schema: Any) -> str | None:
    """Check an argument against the schema that the artifact task gives for it."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow to import
    from jsonschema.exceptions import SchemaError, best_match  # noqa: PLC0415

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"its validation() is no JSON Schema: {error.message}."
    found = best_match(Draft202012Validator(schema).iter_errors(value))
    return f"{found.message}." if found else None
