"""What the REST API holds of a job: its log and its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.provenance.manifest import LogFacts, MetricFacts


MAX_METRICS = 200
"""Metrics whose points are counted, which is a request for each."""


def count_points(
    api: DioptraApi, job_id: int, metrics: MetricFacts
) -> dict[str, int] | None:
    """How many points of each metric the API has; None of too many metrics.

    Raises:
        ServiceError: The API cannot be asked.
    """
    names = [name for name, series in metrics.names.items() if series.points]
    if len(names) > MAX_METRICS:
        return None
    return {name: api.count_metric(job_id, name) for name in names}


def count_lost_lines(
    api: DioptraApi, job_id: int, log: LogFacts, *, end: str, said_after: int = 0
) -> int | None:
    """How many of the lines that were written are not there.

    Where there are as many as were written, none of them is read. Else each is looked
    for by its time: others may have written into the log, and workers that were lost.

    Args:
        api: The REST API.
        job_id: The job.
        log: What was written.
        end: The time of the last line; empty for none.
        said_after: How many more were said, which need not be there.

    Returns:
        How many are missing; None where the log is too long to be read.

    Raises:
        ServiceError: The API cannot be asked.
    """
    written = log.lines + bool(end)
    total = api.count_log(job_id)
    if total == written + said_after and len(log.segments) <= 1:
        return 0
    spans = [(segment.first, segment.last) for segment in log.segments]
    found, read = 0, 0
    for texts in api.log_backwards(job_id, first=1000):
        for text in texts:
            time = text.partition(" ")[0]
            is_ours = any(first <= time <= last for first, last in spans)
            found += is_ours or time == end
        read += len(texts)
    return max(0, written - found) if read >= total else None
