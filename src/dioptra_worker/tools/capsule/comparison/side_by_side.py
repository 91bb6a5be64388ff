"""Compares two jobs of a platform for who looks at them, without making capsules.

What they were run on is read from their manifests, and no artifact is downloaded: those
are compared by their digests alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.errors import WorkerError
from dioptra_worker.provenance.chain import canonical
from dioptra_worker.provenance.manifest import read_manifest
from dioptra_worker.tools.capsule.comparison.comparing import (
    Evaluation,
    differences,
    evaluation,
    named_differences,
    series,
)
from dioptra_worker.tools.capsule.making import Point
from dioptra_worker.tools.jobs.comparison import Comparison, Group, Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from dioptra_worker.tools.capsule.comparison.comparing import Kind
    from dioptra_worker.tools.capsule.making import Source
    from dioptra_worker.tools.jobs.details import Details

    OpenSource = Callable[[int], AbstractContextManager[Source]]


def compare_jobs(
    first: Details, second: Details, *, open_source: OpenSource
) -> Comparison:
    """Compare two jobs.

    Args:
        first: One, as the API tells of it.
        second: Another.
        open_source: Opens what a job has left, by its id.

    Returns:
        All that is known of both; where one has no manifest, what the API tells.
    """
    found = []
    for details in (first, second):
        try:
            with open_source(details.job.id) as source:
                manifest = read_manifest(source.manifest())
                found.append(evaluation(manifest, source.metrics()))
        except WorkerError as error:
            told = [_told(one) for one in (first, second)]
            return side_by_side(*told, left_out=str(error))
    return side_by_side(*found)


def side_by_side(
    first: Evaluation, second: Evaluation, *, left_out: str = ""
) -> Comparison:
    """Put two evaluations beside each other.

    Args:
        first: One.
        second: Another.
        left_out: What of them is not there, and why.
    """
    kinds = dict.fromkeys((*first.made_of, *second.made_of))
    groups = [
        _group(kind, first.made_of.get(kind, {}), second.made_of.get(kind, {}))
        for kind in kinds
    ]
    metrics = tuple(_metrics(first.metrics, second.metrics))
    groups.append(Group(kind="metric", pairs=metrics))
    groups.append(_group("artifact", first.outputs, second.outputs))
    return Comparison(
        groups=tuple(group for group in groups if group.pairs),
        metrics=(first.metrics, second.metrics),
        left_out=left_out,
    )


def _told(details: Details) -> Evaluation:
    """What the API alone tells of an evaluation."""
    points = [
        Point(name=it.name, value=it.value, step=it.step) for it in details.metrics
    ]
    return Evaluation(
        made_of={
            "graph": {"entrypoint": f"{details.job.name}, {details.snapshot_id}"},
            "swap": dict(details.swaps),
            "parameter": {
                name: canonical(value).decode()
                for name, value in details.parameters.items()
            },
            "input": {
                one.name: f"artifact {one.artifact_id}, {one.artifact_snapshot_id}"
                for one in details.inputs
            },
        },
        metrics=series(points),
        outputs={},
        content=lambda _path: None,
    )


def _group(kind: Kind, first: Mapping[str, str], second: Mapping[str, str]) -> Group:
    differing = {found.name for found in named_differences(kind, first, second)}
    return Group(
        kind=kind,
        pairs=tuple(
            Pair(
                name=name,
                first=first.get(name, ""),
                second=second.get(name, ""),
                differs=name in differing,
            )
            for name in sorted(first.keys() | second.keys())
        ),
    )


def _metrics(
    first: Mapping[str, Mapping[int, float]], second: Mapping[str, Mapping[int, float]]
) -> Iterator[Pair]:
    for name in sorted(first.keys() | second.keys()):
        ours, theirs = first.get(name, {}), second.get(name, {})
        found = differences(_alone(name, ours), _alone(name, theirs))
        steps = len(ours.keys() | theirs.keys())
        remark = f"at {len(found)} of {steps} steps"
        yield Pair(
            name=name,
            first=_last(ours),
            second=_last(theirs),
            differs=bool(found),
            within_tolerance=bool(found) and all(it.within_tolerance for it in found),
            remark=remark if found and steps > 1 else "",
        )


def _alone(name: str, values: Mapping[int, float]) -> Evaluation:
    """An evaluation of which nothing but one metric is known."""
    metrics = {name: values} if values else {}
    return Evaluation(
        made_of={}, metrics=metrics, outputs={}, content=lambda _path: None
    )


def _last(values: Mapping[int, float]) -> str:
    return repr(values[max(values)]) if values else ""
