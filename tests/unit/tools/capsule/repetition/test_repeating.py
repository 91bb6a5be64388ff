"""How far results lie apart is told as the GUM has it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.example_job import TASKS, ExampleJob

from dioptra_worker.cli.capsule.common import kept_runs
from dioptra_worker.cli.capsule.repeatability import Report
from dioptra_worker.provenance.manifest import DeterminismFacts
from dioptra_worker.tools.capsule.comparison.comparing import Evaluation
from dioptra_worker.tools.capsule.making import make
from dioptra_worker.tools.capsule.opening import Capsule
from dioptra_worker.tools.capsule.repetition.kept_runs import KeptRun
from dioptra_worker.tools.capsule.repetition.repeating import (
    HASH_ORDER,
    NONE_OF_THEM,
    THREAD_ORDER,
    UNSEEDED,
    not_fixed,
    repeatability,
)
from dioptra_worker.tools.capsule.replay.replaying import evaluation_of

PROGRAM = Path(sys.executable).with_name("dioptra-worker")


def evaluation(value: float, kept: str = "a") -> Evaluation:
    """What came of one run."""
    return Evaluation(
        made_of={},
        metrics={"loss": {0: value}},
        outputs={"outputs/a/a.json": kept},
        content=lambda _: None,
    )


def test_the_same_each_time_is_identical() -> None:
    """Bit by bit, NaN included; files, too."""
    for value in (0.1, math.nan):
        found = repeatability([evaluation(value)] * 3)
        assert found.is_identical
        assert found.versions == {"outputs/a/a.json": 1}
    assert not repeatability([evaluation(0.1), evaluation(0.1, "b")]).is_identical


def test_mean_deviation_and_uncertainty() -> None:
    """Those of the example in the GUM, 4.4.3, with its twenty temperatures."""
    degrees = [
        *(96.90, 98.18, 98.25, 98.61, 99.03, 99.49, 99.56, 99.74, 99.89, 100.07),
        *(100.33, 100.42, 100.68, 100.95, 101.11, 101.20, 101.57, 101.84, 102.36),
        102.72,
    ]
    (spread,) = repeatability([evaluation(it) for it in degrees]).metrics
    assert spread.mean == pytest.approx(100.145, abs=5e-4)
    assert spread.deviation == pytest.approx(1.489, abs=5e-4)
    assert spread.uncertainty == pytest.approx(0.333, abs=5e-4)
    assert spread.extent == pytest.approx(5.82)
    assert not spread.is_identical


def test_numbers_that_no_float_can_add_up() -> None:
    """A mean that is a float is told, and NaN where there is none."""
    (large,) = repeatability([evaluation(it) for it in (1.7e308, 1.6e308)]).metrics
    assert large.mean == pytest.approx(1.65e308)
    (none,) = repeatability([evaluation(it) for it in (math.inf, -math.inf)]).metrics
    assert math.isnan(none.mean)
    assert math.isnan(none.deviation)
    assert math.isnan(none.extent)


def test_what_was_not_fixed_is_told() -> None:
    """Hashes and threads where nobody has fixed them, and what differs in the runs."""
    around = DeterminismFacts(
        seed="1",
        hash_seed="0",
        variables={"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
    )
    fixed = ExampleJob(determinism=around)
    other = fixed.changed(determinism=replace(around, seed="2"))
    words = [UNSEEDED.words]  # a seed of its own for each is the worker's way
    assert not_fixed([fixed.facts, other.facts]) == words
    unruled = fixed.changed(determinism=DeterminismFacts(hash_seed="random"))
    ways = [HASH_ORDER.words, THREAD_ORDER.words, *words]
    assert not_fixed([unruled.facts]) == ways
    elsewhere = fixed.changed(packages={**fixed.packages, "click": "0.1"})
    (_, package) = not_fixed([fixed.facts, elsewhere.facts])
    assert package.startswith("package click (0.1, ")


def report(*, failed: dict[str, str] | None = None, **more: Any) -> Report:
    """What is told of three runs, of which some may have failed."""
    failed = failed or {}
    finished = [evaluation(0.5)] * (3 - len(failed))
    return Report(
        runs=3,
        found=repeatability(finished) if finished else None,
        failed=failed,
        cause="",
        not_fixed=[],
        **more,
    )


def test_runs_that_fail_are_told_and_counted(capsys: Any) -> None:
    """The others are compared, if there are two; nothing is well then."""
    assert report().tell(as_json=False) == 0
    assert report(failed={"job 7": "boom"}).tell(as_json=False) == 1
    said = capsys.readouterr()
    assert said.err == "job 7 failed: boom\n1 of 3 runs failed\n"
    assert "identical in all 2 runs that finished, bit by bit" in said.out
    two = {"job 7": "boom", "job 8": "no"}
    assert report(failed=two).tell(as_json=False) == 1
    assert "no two runs that could be compared" in capsys.readouterr().err
    assert report(failed={**two, "job 9": "no"}).tell(as_json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["finished"], found["metrics"]) == (0, [])
    assert list(found["failed"]) == ["job 7", "job 8", "job 9"]


def test_artifacts_that_nobody_knows_are_not_equal(capsys: Any) -> None:
    """A job without a manifest is compared by its metrics, and that is said."""
    assert report(without_artifacts=["job 7"]).tell(as_json=False) == 1
    assert "not compared: job 7 left no manifest" in capsys.readouterr().err
    report(without_artifacts=["job 7"]).tell(as_json=True)
    assert json.loads(capsys.readouterr().out)["artifacts"] is None


RULED = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
DRAWN = "int.from_bytes(os.urandom(8))"


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("change", "ruled", "cause"),
    [
        ("hash('a')", {"OMP_NUM_THREADS": "1"}, HASH_ORDER.words),
        (
            f"(os.environ.get('OMP_NUM_THREADS') != '1') * {DRAWN}",
            {"PYTHONHASHSEED": "0"},
            THREAD_ORDER.words,
        ),
        ("__import__('random').random()", RULED, UNSEEDED.words),
        (DRAWN, RULED, NONE_OF_THEM),
    ],
    ids=["hashes", "threads", "unseeded", "system"],
)
def test_what_makes_results_differ_is_tried_out(
    tmp_path: Path, change: str, ruled: dict[str, str], cause: str
) -> None:
    """What cures it, if fixed, is the cause; what the job had fixed is not tried."""
    tasks = TASKS.replace("number * factor", f"number * factor + {change}")
    around = DeterminismFacts(
        seed="5", hash_seed=ruled.get("PYTHONHASHSEED", ""), variables=ruled
    )
    make(ExampleJob(tasks=tasks, determinism=around), tmp_path / "42.crate.zip")
    code, found = repeat(tmp_path, 2)
    assert code == 1
    assert found["cause"] == cause
    assert [it["identical"] for it in found["metrics"]] == [False] * 2
    assert set(found["artifacts"].values()) == {2}


@pytest.mark.process
@pytest.mark.slow
def test_whoever_was_interrupted_goes_on(tmp_path: Path) -> None:
    """Runs that there are count, and are not made again."""
    make(job := ExampleJob(), tmp_path / "42.crate.zip")
    with Capsule(tmp_path / "42.crate.zip") as capsule:
        made = evaluation_of(capsule)
        kept = kept_runs(capsule, tmp_path / "mlruns")
    run = KeptRun(fixed="", reason="", metrics=made.metrics, outputs=made.outputs)
    for _ in range(3):
        kept.add(run)
    code, found = repeat(tmp_path, 4)
    assert (code, found["runs"], found["finished"]) == (0, 4, 4)
    assert [it["values"][0] for it in found["metrics"]] == job.scaled
    assert len(list(tmp_path.glob("mlruns/0/*/meta.yaml"))) == 1
    assert len(kept.read("")) == 4


def repeat(folder: Path, runs: int) -> tuple[int, dict[str, Any]]:
    """Repeat the capsule in a folder."""
    done = subprocess.run(
        [PROGRAM, "capsule", "repeat", "-n", str(runs), "--json", "42.crate.zip"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=350,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)
