"""Asks again whether all that a job sent is there, and is what was sent."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.common.environment import set_defaults
from dioptra_worker.job_environment import RUNNER_DEFAULTS
from dioptra_worker.provenance.chain import digest
from dioptra_worker.provenance.manifest import MANIFEST_TAG, read_manifest
from dioptra_worker.provenance.receipt import Held, Missing, Receipt, compare
from dioptra_worker.tools.capsule.recorded import (
    ENDS,
    are_lines_of,
    are_points_of,
    lines_of,
    own_words,
    points_by_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.provenance.manifest import Manifest
    from dioptra_worker.tools.capsule.job_source import JobSource
    from dioptra_worker.tools.capsule.making import Point, Record


@dataclass(frozen=True)
class Verified:
    """What became of a job's results.

    Attributes:
        manifest: The SHA-256 of the job's manifest.
        receipt: What is missing now, or was changed.
    """

    manifest: str
    receipt: Receipt


def verify(source: JobSource) -> Verified:
    """Compare what a job sent with what is there.

    Args:
        source: The job.

    Raises:
        CapsuleError: The job has no manifest.
        BadManifest: What it has is none.
        ServiceError: A service cannot be asked.
    """
    data = source.manifest()
    name = digest(data)
    manifest = read_manifest(data)
    lines, points = source.log(), source.metrics()
    held = _held(manifest, lines, points)
    changed = [*_changed_lines(manifest, lines), *_changed_points(manifest, points)]
    if source.tag(MANIFEST_TAG) not in {"", name}:
        words = "the manifest is not the one that the run's tag names"
        changed.append(Missing(what="manifest", name="", count=1, words=words))
    receipt = compare(manifest, held)
    return Verified(name, Receipt((*receipt.missing, *changed)))


def _held(manifest: Manifest, lines: list[Record], points: list[Point]) -> Held:
    set_defaults(RUNNER_DEFAULTS)
    from dioptra_worker.tracking.mlflow import held  # noqa: PLC0415 - slow to import

    counts = Counter(point.name for point in points)
    lost = _lost(manifest, lines)
    return held.held(manifest, lost_lines=lost, points=counts, may_read=sys.maxsize)


def _lost(manifest: Manifest, lines: list[Record]) -> int:
    """How many lines are not there, the last one of the job among them."""
    lost = sum(
        max(0, segment.lines - len(lines_of(segment, lines)))
        for segment in manifest.log.segments
    )
    has_end = any(own_words(it).startswith(ENDS) for it in lines)
    return lost + (not has_end)


def _changed_lines(manifest: Manifest, lines: list[Record]) -> Iterator[Missing]:
    for segment in manifest.log.segments:
        there = lines_of(segment, lines)
        more = len(there) - segment.lines
        if more > 0:
            words = f"{more:,} more than the lines that worker {segment.worker!r} wrote"
            yield Missing(what="log", name="", count=more, words=words)
        elif more == 0 and not are_lines_of(segment, there):
            words = f"a line that worker {segment.worker!r} wrote was changed"
            yield Missing(what="log", name="", count=1, words=words)


def _changed_points(manifest: Manifest, points: list[Point]) -> Iterator[Missing]:
    found = points_by_name(points)
    for name, series in sorted(manifest.metrics.names.items()):
        if not series.steps:  # of what went to MLflow the worker does not know all
            continue
        there = found.get(name, [])
        more = len(there) - series.steps
        if more > 0:
            words = f"{more:,} more than the points of {name!r} that the job gave"
            yield Missing(what="metric", name=name, count=more, words=words)
        elif more == 0 and not are_points_of(series, there):
            words = f"a point of {name!r} was changed"
            yield Missing(what="metric", name=name, count=1, words=words)
