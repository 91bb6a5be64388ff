"""What the API tells, in words for people; pure, and so easy to test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dioptra_worker.tools.jobs.formatting import extent, maybe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.api.models import Artifact
    from dioptra_worker.api.user_client import LogLine
    from dioptra_worker.tools.resources import JobResult

# What the worker puts before a record, since the API knows only when it arrived.
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d(?:\.\d+)?)Z ")


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


def artifacts(stored: Sequence[Artifact]) -> list[tuple[str, str]]:
    """Write each artifact's file name, size and address."""
    sizes = [extent(item) for item in stored]
    return [
        (item.file_name, f"{amount:>9}  {item.uri}")
        for item, amount in zip(stored, sizes, strict=True)
    ]
