"""Find everything that is wrong with an entrypoint, before its first step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.checks.arguments import check_arguments
from dioptra_worker.engine.checks.artifacts import check_artifacts
from dioptra_worker.engine.checks.calls import check_calls
from dioptra_worker.engine.checks.declarations import check_declarations
from dioptra_worker.engine.checks.definitions import build_types
from dioptra_worker.engine.checks.keys import check_keys
from dioptra_worker.engine.checks.links import check_links
from dioptra_worker.engine.checks.names import check_names
from dioptra_worker.engine.checks.plugins import check_plugins
from dioptra_worker.engine.checks.swaps import check_chosen, check_swaps
from dioptra_worker.engine.issues import Report
from dioptra_worker.engine.reading import reader
from dioptra_worker.engine.reading.document import Document
from dioptra_worker.engine.reading.shape import check_shape
from dioptra_worker.engine.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.engine.checks.artifacts import ArtifactTasks
    from dioptra_worker.engine.issues import Issue
    from dioptra_worker.engine.model import Entrypoint
    from dioptra_worker.engine.reading.sources import Sources


def validate(
    config: Mapping[str, Any] | Document,
    *,
    artifact_tasks: ArtifactTasks | None = None,
    plugins: Sources | None = None,
    declared_in: str = "",
) -> list[Issue]:
    """Find everything that is wrong with an entrypoint.

    A swap may still be open here: each of its choices is checked.

    Args:
        config: The document, as `load` or a JSON reader returns it.
        artifact_tasks: What each known artifact task's ``validation()`` returned. None
            stands for not known, and then the names are not checked.
        plugins: The plugins' source code, to look the tasks' functions up in.
        declared_in: The file that declares types, tasks and parameters, for messages,
            where they are no sections of the document.

    Returns:
        The issues, in the order of the document if it has lines; the entrypoint can be
        run when none of them is an error.
    """
    entrypoint, report = inspect(config, artifact_tasks, declared_in=declared_in)
    if entrypoint is not None and plugins is not None:
        check_plugins(entrypoint, plugins, report)
    return report.issues


def inspect(
    config: Mapping[str, Any] | Document,
    artifact_tasks: ArtifactTasks | None,
    *,
    chosen: bool = False,
    declared_in: str = "",
) -> tuple[Entrypoint | None, Report]:
    """Read an entrypoint, and find everything that is wrong with it.

    Args:
        config: As for `validate`.
        artifact_tasks: As for `validate`.
        chosen: Whether every swap must have been decided.
        declared_in: As for `validate`.

    Returns:
        What it declares, or None when it has not the shape for that; and the report.
    """
    data, report = _open(config, declared_in)
    if not _has_shape(data, report):
        return None, report
    entrypoint = reader.read(data)
    _check_meaning(entrypoint, artifact_tasks, report)
    if chosen:
        check_chosen(entrypoint, report)
    return entrypoint, report


def _open(config: Mapping[str, Any] | Document, declared_in: str) -> tuple[Any, Report]:
    if not isinstance(config, Document):
        return config, Report(declared_in=declared_in)
    report = Report(config.place, declared_in=declared_in)
    report.extend(config.issues)
    return config.data, report


def _has_shape(data: Any, report: Report) -> bool:
    before = len(report.issues)
    check_keys(data, report)
    if len(report.issues) == before:
        check_shape(data, report)
    return len(report.issues) == before


def _check_meaning(
    entrypoint: Entrypoint, artifact_tasks: ArtifactTasks | None, report: Report
) -> None:
    scope = Scope(entrypoint)
    check_names(entrypoint, report)
    types = build_types(entrypoint.types, report)
    check_declarations(entrypoint, types, report)
    check_swaps(entrypoint, report)
    check_calls(scope, report)
    check_links(scope, report)
    check_arguments(scope, types, report)
    check_artifacts(scope, artifact_tasks, report)
