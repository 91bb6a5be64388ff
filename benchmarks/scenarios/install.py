"""What an installation takes of a disk."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import BenchmarkError
from benchmarks.results import Measure, Result, Target
from benchmarks.rivals import OURS, PEER
from benchmarks.scenario import Plan, Scenario
from dioptra_worker.local import peer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.stage import Stage

SIZE, PACKAGES, SECONDS = "size", "packages", "time, with pip's cache"
_ROOT = Path(__file__).resolve().parents[2]
_PINS = Path(peer.__file__).with_name("pins") / "constraints.txt"
_WANTED = {
    OURS: ["--constraint", str(_ROOT / "constraints.txt"), str(_ROOT)],
    PEER: ["--constraint", str(_PINS), f"dioptra-platform=={peer.PEER_VERSION}"],
}
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
    _run(name, [sys.executable, "-m", "venv", "--without-pip", str(folder)])
    python = folder / "bin/python"
    began = time.monotonic()
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    _run(name, [*pip, "--disable-pip-version-check", *_WANTED[name]])
    seconds = time.monotonic() - began
    (packages,) = folder.glob("lib/python*/site-packages")
    found = list(metadata.distributions(path=[str(packages)]))
    return sum(_sizes(folder)) / _MIB, len(found), seconds


def _run(name: str, command: list[str]) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise BenchmarkError(
            f"The package of {name!r} could not be installed into a fresh environment;"
            " this needs a package index. pip said last:\n"
            + "\n".join(answer.stderr.splitlines()[-5:])
        )


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
