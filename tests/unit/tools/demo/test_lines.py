"""The demo's words for what the API tells."""

from __future__ import annotations

from dioptra_worker.api.user_client import LogLine
from dioptra_worker.tools.demo import lines


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
