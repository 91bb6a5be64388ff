"""What differs between two evaluations: in what made them, and in what came of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dioptra_worker.provenance.chain import canonical
from dioptra_worker.tools.capsule import layout
from dioptra_worker.tools.capsule.comparison.values import (
    NotComparable,
    equal_values,
    has_values,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dioptra_worker.provenance.manifest import Manifest
    from dioptra_worker.tools.capsule.making import Point

Kind = Literal[
    "graph",
    "swap",
    "parameter",
    "plugin file",
    "package",
    "environment",
    "determinism",
    "input",
    "status",
    "metric",
    "artifact",
]
DEFAULT_TOLERANCE = 1e-9
RESULTS: frozenset[Kind] = frozenset({"status", "metric", "artifact"})
"""The kinds of what came of an evaluation; the others made it."""
_NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that is not the same in both.

    Attributes:
        kind: What it is.
        name: Which one.
        first: How it is in the first, in words.
        second: How it is in the second.
        within_tolerance: Whether the values are the same, within the tolerance, though
            the bytes, or the last digits, are not.
    """

    kind: Kind
    name: str
    first: str
    second: str
    within_tolerance: bool = False

    def __str__(self) -> str:
        words = f"{self.kind} {self.name}: {self.first} and {self.second}"
        return (
            f"{words} (equal within the tolerance)" if self.within_tolerance else words
        )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What made an evaluation and what came of it, to be compared.

    Attributes:
        made_of: What is what, by kind and name.
        metrics: The value at each step of each metric.
        outputs: The SHA-256 of each file of each output artifact, by its path.
        content: Reads a file of an output artifact; None if it is not there.
        seed: What its random generators were seeded with; empty if unknown. A worker
            draws one for each job, so that it differs is nobody's change.
    """

    made_of: Mapping[Kind, Mapping[str, str]]
    metrics: Mapping[str, Mapping[int, float]]
    outputs: Mapping[str, str]
    content: Callable[[str], bytes | None]
    seed: str = ""


def made_of(manifest: Manifest) -> dict[Kind, dict[str, str]]:
    """What made an evaluation, of its manifest."""
    plan, around = manifest.plan, manifest.environment
    return {
        "graph": {
            "": _short(canonical(plan.graph).decode()),
            "order of steps": ", ".join(plan.steps),
        },
        "swap": dict(plan.swaps),
        "parameter": {it.name: canonical(it.value).decode() for it in plan.parameters},
        "plugin file": dict(_plugin_files(manifest)),
        "package": dict(around.packages),
        "environment": {
            "Python": f"{around.implementation} {around.python}",
            "system": around.os,
            "processor": around.cpu,
            "GPU": ", ".join(around.gpu),
            "driver": around.driver,
        },
        "determinism": {
            **manifest.determinism.variables,
            **manifest.determinism.frameworks,
        },
        "input": {
            path: file.sha256
            for one in manifest.inputs
            for path, file in zip(layout.input_paths(one), one.files, strict=True)
        },
    }


def evaluation(
    manifest: Manifest,
    points: Iterable[Point],
    content: Callable[[str], bytes | None] = lambda _path: None,
) -> Evaluation:
    """An evaluation of which there is a manifest.

    Args:
        manifest: Its manifest.
        points: Those of its metrics.
        content: Reads a file of an output artifact; without it, files whose bytes
            differ are different.
    """
    return Evaluation(
        made_of=made_of(manifest),
        metrics=series(points),
        outputs={
            path: file.sha256
            for one in manifest.outputs
            for path, file in zip(layout.output_paths(one), one.files, strict=True)
        },
        content=content,
        seed=manifest.determinism.seed,
    )


def _plugin_files(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of each; of what reads an input by that, not by its snapshot.

    Two jobs may have the same files under other numbers, and a run without a server has
    none.
    """
    for file in manifest.plugins:
        if file.role != "reader":
            yield layout.plugin_path(file), file.sha256
            continue
        for one in manifest.inputs:
            known = one.plugin_snapshot, one.package
            if known == (file.snapshot, file.plugin):
                yield f"{layout.PLUGINS}/reader of {one.name}/{file.path}", file.sha256


def series(points: Iterable[Point]) -> dict[str, dict[int, float]]:
    """The value at each step of each metric: the last that was logged."""
    found: dict[str, dict[int, float]] = {}
    for point in points:
        found.setdefault(point.name, {})[point.step] = point.value
    return found


def differences(
    first: Evaluation, second: Evaluation, *, tolerance: float = DEFAULT_TOLERANCE
) -> list[Difference]:
    """All that differs: first what made them, then what came of them.

    Args:
        first: One.
        second: Another.
        tolerance: How far values may be apart to be equal, in themselves and in
            proportion to the larger.
    """
    found: list[Difference] = []
    for kind, ours in first.made_of.items():
        found += named_differences(kind, ours, second.made_of.get(kind, {}))
    found += _metrics(first.metrics, second.metrics, tolerance)
    found += _outputs(first, second, tolerance)
    return found


def named_differences(
    kind: Kind, first: Mapping[str, str], second: Mapping[str, str]
) -> list[Difference]:
    """What differs of things of one kind that have names."""
    return [
        Difference(kind=kind, name=name, first=_short(one), second=_short(other))
        for name in sorted(first.keys() | second.keys())
        if (one := first.get(name) or _NONE) != (other := second.get(name) or _NONE)
    ]


def _metrics(
    first: Mapping[str, Mapping[int, float]],
    second: Mapping[str, Mapping[int, float]],
    tolerance: float,
) -> Iterator[Difference]:
    for name in sorted(first.keys() | second.keys()):
        ours, theirs = first.get(name, {}), second.get(name, {})
        for step in sorted(ours.keys() | theirs.keys()):
            one, other = ours.get(step), theirs.get(step)
            if one == other or (_is_nan(one) and _is_nan(other)):
                continue
            at = f" at step {step}" if len({*ours, *theirs}) > 1 else ""
            yield Difference(
                kind="metric",
                name=f"{name}{at}",
                first=_NONE if one is None else repr(one),
                second=_NONE if other is None else repr(other),
                within_tolerance=close(one, other, tolerance),
            )


def close(one: float | None, other: float | None, tolerance: float) -> bool:
    """Whether two numbers are equal within a tolerance; not where one is not there."""
    if one is None or other is None:
        return False
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)


def _outputs(
    first: Evaluation, second: Evaluation, tolerance: float
) -> Iterator[Difference]:
    for found in named_differences("artifact", first.outputs, second.outputs):
        if found.name in first.outputs and found.name in second.outputs:
            equal = _have_equal_values(found.name, first, second, tolerance)
            yield Difference(
                kind="artifact",
                name=found.name,
                first=found.first,
                second=found.second,
                within_tolerance=equal,
            )
        else:
            yield found


def _have_equal_values(
    name: str, first: Evaluation, second: Evaluation, tolerance: float
) -> bool:
    if not has_values(name):  # which may be too large to be read
        return False
    ours, theirs = first.content(name), second.content(name)
    try:
        return equal_values(name, ours, theirs, tolerance=tolerance)
    except NotComparable:
        return False


def record(found: Iterable[Difference]) -> list[dict[str, Any]]:
    """Differences, as JSON has them."""
    return [dict(vars(one)) for one in found]


def _is_nan(value: float | None) -> bool:
    return value is not None and math.isnan(value)


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}..."
