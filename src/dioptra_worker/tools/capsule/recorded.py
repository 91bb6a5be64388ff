"""Which lines and points a manifest speaks of, and whether they are those it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.protocol.messages import OWN_LOGGER
from dioptra_worker.provenance.chain import chained, log_record, metric_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dioptra_worker.provenance.manifest import LogSegment, MetricSeries
    from dioptra_worker.tools.capsule.making import Point, Record


ENDS = ("the job finished", "the job failed", "the job was stopped")
"""How the last line of a job's log begins, after its time."""
SIGNED = "evidence of this job was signed: sha256:"
"""What the line says before the digest that tells of a job's evidence."""


def own_words(line: Record) -> str:
    """What the worker itself has said in a line; empty if it was the job."""
    return line.message.partition(" ")[2] if line.logger == OWN_LOGGER else ""


def lines_of(segment: LogSegment, log: Iterable[Record]) -> list[Record]:
    """The lines of a log that a worker wrote in one segment, before the job's end."""
    return [it for it in log if is_of(segment, it)]


def is_of(segment: LogSegment, line: Record) -> bool:
    """Whether a line has a time of a segment."""
    time = line.message.partition(" ")[0]
    return bool(segment.first) and segment.first <= time <= segment.last


def are_lines_of(segment: LogSegment, lines: Iterable[Record]) -> bool:
    """Whether lines, of which none is missing, are those of a segment."""
    records = (log_record(it.severity, it.logger, it.message) for it in lines)
    return chained(records, segment.previous) == segment.chain


def points_by_name(points: Iterable[Point]) -> dict[str, list[Point]]:
    """The points of each metric, in the order of their steps."""
    found: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: point.step):
        found.setdefault(point.name, []).append(point)
    return found


def are_points_of(series: MetricSeries, points: Sequence[Point]) -> bool:
    """Whether points, of which none is missing, are those that the API keeps."""
    records = (metric_record(it.name, it.value, it.step) for it in points)
    return chained(records) == series.kept
