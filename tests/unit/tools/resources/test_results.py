"""What is read off a job's timeline and artifacts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dioptra_worker.api.models import Artifact, Job, LogLine, StatusChange
from dioptra_worker.tools.resources import JobResult, Unknown

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _result(*changes: tuple[str, float], artifacts: tuple[str, ...] = ()) -> JobResult:
    job = Job(
        id=7,
        experiment_id=1,
        group_id=1,
        status=changes[-1][0] if changes else "queued",
        entrypoint_id=1,
        entrypoint_snapshot_id=1,
        entrypoint_name="hello",
        queue="local",
    )
    return JobResult(
        job=job,
        run_id=None,
        timeline=tuple(
            StatusChange(status=status, at=NOON + timedelta(seconds=seconds))
            for status, seconds in changes
        ),
        log=(),
        metrics=(),
        artifacts=tuple(
            Artifact(id=1, snapshot_id=2, job_id=7, uri=uri, is_dir=False)
            for uri in artifacts
        ),
    )


def test_durations() -> None:
    """Waiting ends with the start, running with the end."""
    result = _result(("queued", 0), ("started", 2), ("finished", 5))
    assert (result.waited, result.ran) == (2.0, 3.0)


def test_durations_of_a_repeated_job() -> None:
    """A job that was given back waited for its last start, and ran since then."""
    result = _result(
        ("queued", 0), ("started", 1), ("queued", 4), ("started", 6), ("failed", 7)
    )
    assert (result.waited, result.ran) == (6.0, 1.0)


def test_durations_that_are_not_known() -> None:
    """What has not ended has no running time, what has not started no waiting time."""
    assert _result(("queued", 0)).waited is None
    assert _result(("queued", 0), ("started", 1)).ran is None
    again = _result(("queued", 0), ("started", 1), ("failed", 2), ("started", 3))
    assert again.ran is None


def test_artifact_by_name() -> None:
    """An artifact is found by its name in the task graph, whatever its extension."""
    result = _result(
        artifacts=("s3://b/letter-2/letter-2.md", "s3://b/letter/letter.md")
    )
    assert result.artifact("letter").uri == "s3://b/letter/letter.md"
    assert result.artifact("letter-2.md").file_name == "letter-2.md"


def test_no_such_artifact() -> None:
    """A missing artifact is named, with those that there are."""
    with pytest.raises(Unknown, match=r"job 7 has no artifact 'model'.*letter\.md"):
        _result(artifacts=("s3://b/letter/letter.md",)).artifact("model")


def test_log_is_unescaped() -> None:
    """A log line reads as its author wrote it, not as the API keeps it."""
    body = {
        "severity": "INFO",
        "loggerName": "x",
        "message": "1 &lt; 2 &amp;amp; 3",
        "createdOn": "2026-01-01T12:00:00+00:00",
    }
    assert LogLine.read(body).message == "1 < 2 &amp; 3"
