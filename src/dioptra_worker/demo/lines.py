"""What the API tells, in words for people; pure, and so easy to test."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.api.resources import Artifact, LogLine, MetricPoint
    from dioptra_worker.resources import JobResult

# What the worker puts before a record, since the API knows only when it arrived.
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d(?:\.\d+)?)Z ")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def seconds(amount: float) -> str:
    """Write a duration: ``0.31 s``, ``12.0 s`` or ``3 min 12 s``."""
    if amount < 10:
        return f"{amount:.2f} s"
    if amount < 60:
        return f"{amount:.1f} s"
    minutes, rest = divmod(round(amount), 60)
    return f"{minutes} min {rest} s"


def maybe(amount: float | None) -> str:
    """Write a duration that may be unknown."""
    return "-" if amount is None else seconds(amount)


def durations(result: JobResult) -> str:
    """Say how long a job waited for the worker, and how long it then ran."""
    return (
        f"started {maybe(result.waited)} after it was submitted, ran"
        f" {maybe(result.ran)}"
    )


def log_record(record: LogLine) -> list[str]:
    """Write a log record: its time, severity and logger, then its text.

    Returns:
        The lines; those after the first are indented.
    """
    stamp = _STAMP.match(record.message)
    text = record.message[stamp.end() :] if stamp else record.message
    time = f"{stamp[1]} " if stamp else ""
    first, *rest = text.rstrip().splitlines() or [""]
    head = f"{time}{record.severity:<8}{record.logger}: {first}"
    return [head, *(f"    {line}" for line in rest if line.strip())]


def metrics(points: Sequence[MetricPoint]) -> list[tuple[str, str]]:
    """Write each metric's values, one after the other if there are several steps.

    Args:
        points: The values, sorted by name and step.
    """
    return [
        (name, " → ".join(f"{point.value:.4g}" for point in series))
        for name, series in groupby(points, key=lambda point: point.name)
    ]


def artifacts(stored: Sequence[Artifact]) -> list[tuple[str, str]]:
    """Write each artifact's file name, size and address."""
    sizes = ["folder" if item.is_dir else size(item.size) for item in stored]
    return [
        (item.file_name, f"{amount:>9}  {item.uri}")
        for item, amount in zip(stored, sizes, strict=True)
    ]


def size(count: int | None) -> str:
    """Write a number of bytes: ``42 B``, ``17.3 KiB``."""
    if count is None:
        return ""
    amount = float(count)
    for unit in _UNITS[:-1]:
        if amount < 1024:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.3g} {_UNITS[-1]}"


def run_page(mlflow: str, run_id: str) -> str:
    """The address of a run's page; jobs log to the server's default experiment."""
    return f"{mlflow}/#/experiments/0/runs/{run_id}"
