"""Find everything that is wrong with an entrypoint, before its first step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.engine import checks, reader
from dioptra_worker.engine.checks.calls import check_calls
from dioptra_worker.engine.checks.links import check_links
from dioptra_worker.engine.issues import Report
from dioptra_worker.engine.scope import Scope
from dioptra_worker.engine.shape import check_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.engine.issues import Issue

ArtifactTasks = "Mapping[str, Mapping[str, Any] | None]"


def validate(
    config: Mapping[str, Any],
    *,
    artifact_tasks: Mapping[str, Mapping[str, Any] | None] | None = None,
) -> list[Issue]:
    """Find everything that is wrong with an entrypoint.

    Args:
        config: The document.
        artifact_tasks: What each known artifact task's ``validation()`` returned. None
            stands for not known, and then the names are not checked.

    Returns:
        The issues; the entrypoint can be run when none of them is an error.
    """
    report = Report()
    check_shape(config, report)
    if report.failed:
        return report.issues
    scope = Scope(reader.read(config))
    check_calls(scope, report)
    check_links(scope, report)
    return report.issues
