"""What the API tells, in words for people; pure, and so easy to test."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from dioptra_worker.common.humanize import precise_duration, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.api.models import Artifact, MetricPoint
    from dioptra_worker.tools.jobs.job_log import Entry

# Sequences that move the cursor, set colours, titles or links, and whatever else a
# terminal obeys (ECMA-48: CSI; OSC, DCS and their like up to their end; two letters).
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
# The other control characters, and those that turn the direction of writing around.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def harmless(text: str) -> str:
    """Text that no terminal obeys: colours are gone, other controls are spelt out."""
    return _CONTROLS.sub(_spelt, _SEQUENCES.sub("", text))


def one_line(text: str) -> str:
    """Harmless text in one line, for a cell of a table."""
    return " ".join(harmless(text).split())


def _spelt(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def maybe(amount: float | None) -> str:
    """Write a duration that may be unknown."""
    return "-" if amount is None else precise_duration(amount)


def log_record(entry: Entry) -> tuple[str, str]:
    """Write a log record: time, severity and logger; then its text.

    Nothing in it can do anything to a terminal; further lines are indented.
    """
    time = f"{entry.at:%H:%M:%S.%f}"[:-3] if entry.at else "-"
    head = f"{time} {one_line(entry.severity):<8} {one_line(entry.logger)}: "
    return head, harmless(entry.text).rstrip().replace("\n", "\n    ")


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
