"""What an installation takes of a disk."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from benchmarks.environment import fresh
from benchmarks.results import Measure, Result, Target
from benchmarks.rivals import OURS, PEER
from benchmarks.scenario import Plan, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.stage import Stage

SIZE, PACKAGES, SECONDS = "size", "packages", "time, with pip's cache"
_MIB = 1 << 20


def run(stage: Stage, plan: Plan) -> Result:
    """Install each rival into a fresh environment."""
    measures = [Measure(SIZE, "MiB"), Measure(PACKAGES, ""), Measure(SECONDS, "s")]
    for rival in stage.rivals:
        plan.say(rival.name)
        values = _installed(rival.name, stage.folder / f"venv-{rival.name}")
        for measure, value in zip(measures, values, strict=True):
            measure.add(rival.name, value)
    return Result(
        measures,
        targets=[Target("at most a quarter", SIZE, OURS, PEER, at_most=0.25)],
        notes=[
            (
                "Each package with all that it declares and no extra, compiled, in a"
                " fresh virtual environment without pip. The time depends on the"
                " network."
            ),
        ],
    )


def _installed(name: str, folder: Path) -> tuple[float, float, float]:
    """The size in MiB, the number of packages, and the seconds that it took."""
    seconds = fresh(name, folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    found = list(metadata.distributions(path=[str(packages)]))
    return sum(_sizes(folder)) / _MIB, len(found), seconds


def _sizes(folder: Path) -> Iterator[int]:
    """The bytes of each file."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path.stat().st_size


SCENARIO = Scenario(
    name="install",
    title="Installation",
    question="How much is installed, and how long does that take?",
    run=run,
    in_quick=False,
)
