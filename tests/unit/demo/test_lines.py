"""The demo's words for what the API tells."""

from __future__ import annotations

import pytest

from dioptra_worker.api.resources import LogLine, MetricPoint
from dioptra_worker.demo import lines


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0.012, "0.01 s"), (9.5, "9.50 s"), (12, "12.0 s"), (192.4, "3 min 12 s")],
)
def test_seconds(amount: float, text: str) -> None:
    """A duration has as many digits as people care for."""
    assert lines.seconds(amount) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (42, "42 B"), (17_700, "17.3 KiB"), (5 << 40, "5 TiB")],
)
def test_size(count: int | None, text: str) -> None:
    """A number of bytes is written with its unit."""
    assert lines.size(count) == text


def test_log_record() -> None:
    """The worker's own time comes first, and further lines are indented."""
    record = LogLine(
        severity="ERROR",
        logger="plug.tasks",
        message="2026-01-01T12:00:01.500Z it broke\n\n  here\n",
    )
    first, second = lines.log_record(record)
    assert first == "12:00:01.500 ERROR   plug.tasks: it broke"
    assert second == "      here"


def test_log_record_of_another_worker() -> None:
    """A record without a time is shown as it is, also when it is empty."""
    record = LogLine(severity="INFO", logger="x", message="")
    assert lines.log_record(record) == ["INFO    x: "]


def test_metrics() -> None:
    """A metric with several steps is one row with its values in order."""
    points = [
        MetricPoint(name="accuracy", value=0.97593, step=0),
        MetricPoint(name="curve", value=1.0, step=0),
        MetricPoint(name="curve", value=0.25, step=1),
    ]
    assert lines.metrics(points) == [("accuracy", "0.9759"), ("curve", "1 → 0.25")]
