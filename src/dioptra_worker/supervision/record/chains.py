"""The chains of a job's log and of its metrics, extended as records come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dioptra_worker.provenance.chain import (
    chained,
    extend,
    log_record,
    metric_record,
)
from dioptra_worker.provenance.manifest import (
    LogFacts,
    LogSegment,
    MetricFacts,
    MetricSeries,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dioptra_worker.protocol.messages import Log, Metric


class LogChain:
    """The chain of one job's log; whoever writes the log calls it in its order."""

    def __init__(
        self, *, worker: str, attempt: int, before: tuple[LogSegment, ...] = ()
    ) -> None:
        """Begin a segment.

        Args:
            worker: Who writes.
            attempt: Its attempt at the job.
            before: The segments that other workers have left, as far as they are known.
        """
        self._before = before
        previous = before[-1].chain if before else ""
        self._segment = LogSegment(
            worker=worker, attempt=attempt, previous=previous, chain=previous
        )

    def add(self, line: Log) -> None:
        """Add a line, whose message begins with its time."""
        self._segment = extended(self._segment, line)

    def segments(self) -> tuple[LogSegment, ...]:
        """All segments in which there is a line; from any thread."""
        segment = self._segment
        return (*self._before, segment) if segment.lines else self._before


def extended(segment: LogSegment, line: Log) -> LogSegment:
    """A segment with one more line."""
    record = log_record(line.severity, line.logger, line.message)
    time = record["time"]
    return replace(
        segment,
        lines=segment.lines + 1,
        chain=extend(segment.chain, record),
        first=segment.first or time,
        last=max(segment.last, time),
    )


def completed(
    segments: tuple[LogSegment, ...], lines: Iterable[Log]
) -> tuple[LogSegment, ...]:
    """The segments of a worker that was lost, with what it had yet to add.

    Args:
        segments: As it last wrote them down.
        lines: The latest lines that it left, in order; it may have added some of them.
    """
    if not segments:
        return segments
    last = segments[-1]
    for line in lines:
        if line.message.partition(" ")[0] > last.last:
            last = extended(last, line)
    return (*segments[:-1], last)


def log_facts(segments: tuple[LogSegment, ...]) -> LogFacts:
    """What a manifest says of a log."""
    return LogFacts(
        lines=sum(segment.lines for segment in segments),
        chain=segments[-1].chain if segments else "",
        segments=segments,
    )


class MetricChains:
    """The chains of one job's metrics; one thread adds to them."""

    def __init__(self) -> None:
        self._all = MetricSeries()
        self._series: dict[str, MetricSeries] = {}
        self._direct: dict[str, int] = {}
        self._kept: dict[str, dict[int, float]] = {}

    def add(self, point: Metric) -> None:
        """Add a point."""
        record = metric_record(point.name, point.value, point.step)
        before = self._series.get(point.name, MetricSeries())
        self._series[point.name] = _extended(before, record)
        self._all = _extended(self._all, record)
        self._kept.setdefault(point.name, {})[record["step"]] = record["value"]

    def add_direct(self, name: str, points: int) -> None:
        """Note that the job gave so many points to MLflow itself."""
        self._direct[name] = self._direct.get(name, 0) + points

    def facts(self) -> MetricFacts:
        """What a manifest says of them."""
        names = {
            name: replace(
                series,
                steps=len(self._kept[name]),
                kept=chained(
                    metric_record(name, value, step)
                    for step, value in sorted(self._kept[name].items())
                ),
            )
            for name, series in self._series.items()
        }
        for name, points in self._direct.items():
            names[name] = replace(names.get(name, MetricSeries()), direct=points)
        return MetricFacts(points=self._all.points, chain=self._all.chain, names=names)


def _extended(series: MetricSeries, record: dict[str, object]) -> MetricSeries:
    chain = extend(series.chain, record)
    return replace(series, points=series.points + 1, chain=chain)
