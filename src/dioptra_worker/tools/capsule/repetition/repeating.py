"""How far results lie apart when a job is run again and again.

Source: JCGM 100:2008 (GUM), 4.2, Type A evaluation of standard uncertainty.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dioptra_worker.tools.capsule.comparison.comparing import made_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dioptra_worker.provenance.manifest import Manifest
    from dioptra_worker.tools.capsule.comparison.comparing import Evaluation, Kind

HASHES, THREADS = "PYTHONHASHSEED", "OMP_NUM_THREADS"


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Something that may make results differ, and how it is fixed to try that out.

    Attributes:
        words: What it is.
        variables: Variables that fix it.
        seeded: Whether a seed of the random generators fixes it.
    """

    words: str
    variables: Mapping[str, str] = field(default_factory=dict)
    seeded: bool = False


HASH_ORDER = Cause(
    words="the order of hashes (PYTHONHASHSEED)", variables={HASHES: "0"}
)
THREAD_ORDER = Cause(
    words="the order of threads (OMP_NUM_THREADS and its like)",
    variables=dict.fromkeys(
        (
            *(THREADS, "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
            *("NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS"),
        ),
        "1",
    ),
)
UNSEEDED = Cause(words="random numbers that nobody has seeded", seeded=True)
TOGETHER = Cause(
    words="several of these at once: the order of hashes or of threads, random numbers"
    " that nobody has seeded",
    variables={**HASH_ORDER.variables, **THREAD_ORDER.variables},
    seeded=True,
)
NONE_OF_THEM = "the clock, or random numbers that cannot be seeded"
_COMPARED: tuple[Kind, ...] = ("environment", "package", "determinism")
_SEEDS = ("seed", "torch.initial_seed")
"""What is another number in each run, and is told as such."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far the values of a metric at one step lie apart.

    Attributes:
        name: The metric.
        step: The step.
        values: The value of each run that had it.
    """

    name: str
    step: int
    values: tuple[float, ...]

    @property
    def is_identical(self) -> bool:
        """Whether all are the same, bit by bit."""
        return len({repr(value) for value in self.values}) == 1

    @property
    def mean(self) -> float:
        """The arithmetic mean, in the metric's unit; NaN if a value is not finite."""
        # Not `fmean`, whose sum can be too large for a float though the mean is not.
        return statistics.mean(self.values) if self._all_finite else math.nan

    @property
    def deviation(self) -> float:
        """The experimental standard deviation of one value, s; NaN of a single one."""
        if len(self.values) < 2 or not self._all_finite:
            return math.nan
        try:
            return statistics.stdev(self.values)
        except OverflowError:
            return math.inf

    @property
    def uncertainty(self) -> float:
        """The standard uncertainty of the mean, s/sqrt(n)."""
        return self.deviation / math.sqrt(len(self.values))

    @property
    def extent(self) -> float:
        """The largest value less the smallest; NaN if a value is not finite."""
        if not self._all_finite:
            return math.nan
        return max(self.values) - min(self.values)

    @property
    def _all_finite(self) -> bool:
        return all(map(math.isfinite, self.values))


@dataclass(frozen=True, kw_only=True)
class Repeatability:
    """What came of several runs of one job.

    Attributes:
        runs: How many.
        metrics: Each metric at each step.
        versions: How many different contents each file of an output artifact had.
    """

    runs: int
    metrics: tuple[Spread, ...]
    versions: Mapping[str, int]

    @property
    def is_identical(self) -> bool:
        """Whether all runs gave the same, bit by bit."""
        return all(count == 1 for count in self.versions.values()) and all(
            len(it.values) == self.runs and it.is_identical for it in self.metrics
        )


def repeatability(found: Sequence[Evaluation]) -> Repeatability:
    """How far the results of some runs lie apart; at least one."""
    places = sorted(
        {
            (name, step)
            for one in found
            for name, steps in one.metrics.items()
            for step in steps
        }
    )
    paths = sorted({path for one in found for path in one.outputs})
    return Repeatability(
        runs=len(found),
        metrics=tuple(
            Spread(
                name=name,
                step=step,
                values=tuple(
                    one.metrics[name][step]
                    for one in found
                    if step in one.metrics.get(name, {})
                ),
            )
            for name, step in places
        ),
        versions={path: len({it.outputs.get(path) for it in found}) for path in paths},
    )


def not_fixed(manifests: Sequence[Manifest]) -> list[str]:
    """What was not the same in some runs, or was so by chance.

    Args:
        manifests: Those of the runs, or that of the job whose runs they are.
    """
    found = [cause.words for cause in open_causes(manifests)]
    made = [made_of(manifest) for manifest in manifests]
    for kind in _COMPARED:
        for name in sorted({name for one in made for name in one[kind]}):
            values = {one[kind].get(name) or "none" for one in made}
            if len(values) > 1 and name not in _SEEDS:
                found.append(f"{kind} {name} ({', '.join(sorted(values))})")
    return found


def open_causes(manifests: Sequence[Manifest]) -> list[Cause]:
    """Which causes nothing in the surroundings of some runs has ruled out."""
    found = []
    ruled = [manifest.determinism for manifest in manifests]
    if not all(it.hash_seed.isdecimal() for it in ruled):
        found.append(HASH_ORDER)
    if not all(it.variables.get(THREADS) == "1" for it in ruled):
        found.append(THREAD_ORDER)
    return [*found, UNSEEDED]  # whether a job seeds them nobody sees from outside
