"""What the API tells, in words for people; pure, and so easy to test."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from dioptra_worker.common.text.humanize import precise_duration, size
from dioptra_worker.common.text.printable import one_line, record_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.api.models import Artifact, MetricPoint
    from dioptra_worker.tools.jobs.job_log import Entry


def maybe(amount: float | None) -> str:
    """Write a duration that may be unknown."""
    return "-" if amount is None else precise_duration(amount)


def log_record(entry: Entry) -> tuple[str, str]:
    """Write a log record: time, severity, who said it and its logger; then its text.

    Nothing in it can do anything to a terminal; further lines are marked, so that none
    can be taken for a record.
    """
    time = f"{entry.at:%H:%M:%S.%f}"[:-3] if entry.at else "-"
    severity = f"{one_line(entry.severity):<8}"
    head = f"{time} {severity} {entry.origin:<6} {one_line(entry.logger)}: "
    return head, record_lines(entry.text)


def extent(artifact: Artifact) -> str:
    """Say how large an artifact is, or why it has no size."""
    if artifact.is_deleted:
        return "deleted"
    if artifact.is_dir:
        return "folder"
    return "" if artifact.size is None else size(artifact.size)


def metrics(points: Sequence[MetricPoint]) -> list[tuple[str, str]]:
    """Write each metric's values, one after the other if there are several steps.

    Args:
        points: The values, sorted by name and step.
    """
    return [
        (name, _series([point.value for point in series]))
        for name, series in groupby(points, key=lambda point: point.name)
    ]


def _series(values: Sequence[float]) -> str:
    """Some numbers; of many the first, the last, and how many."""
    if len(values) > 8:
        return f"{values[0]:.4g} → … → {values[-1]:.4g} ({len(values)} values)"
    return " → ".join(f"{value:.4g}" for value in values)


def run_page(mlflow: str, run_id: str) -> str:
    """The address of a run's page; jobs log to the server's default experiment."""
    return f"{mlflow}/#/experiments/0/runs/{run_id}"
