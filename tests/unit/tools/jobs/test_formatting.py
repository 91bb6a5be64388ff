"""What people read: metrics and log records."""

from __future__ import annotations

from dioptra_worker.api.models import LogLine, MetricPoint
from dioptra_worker.tools.jobs import formatting
from dioptra_worker.tools.jobs.job_log import LogSections


def test_metrics() -> None:
    """A metric with several steps is one row with its values in order."""
    points = [
        MetricPoint(name="accuracy", value=0.97593, step=0),
        MetricPoint(name="curve", value=1.0, step=0),
        MetricPoint(name="curve", value=0.25, step=1),
    ]
    assert formatting.metrics(points) == [("accuracy", "0.9759"), ("curve", "1 → 0.25")]


def test_many_values() -> None:
    """Of a long series only the ends are told, and its length."""
    points = [MetricPoint(name="loss", value=1 / n, step=n) for n in range(1, 101)]
    assert formatting.metrics(points) == [("loss", "1 → … → 0.01 (100 values)")]


def test_log_record() -> None:
    """The worker's own time comes first, and further lines are marked."""
    line = LogLine(
        severity="ERROR",
        logger="plug.tasks",
        message="2026-01-01T12:00:01.500Z it broke\n  here\n",
    )
    (entry,) = LogSections().assign([line])
    assert formatting.log_record(entry) == (
        "12:00:01.500 ERROR    job    plug.tasks: ",
        "it broke\n    |   here",
    )


def test_log_record_of_another_worker() -> None:
    """A record without a time is shown as it is, also when it is empty."""
    (entry,) = LogSections().assign([LogLine(severity="INFO", logger="x", message="")])
    assert formatting.log_record(entry) == ("- INFO     job    x: ", "")
