"""A capsule's job can be run again, without any server."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.plugins.example_job import TASKS, ExampleJob

from dioptra_worker.provenance.manifest import DeterminismFacts
from dioptra_worker.tools.capsule.making import make
from dioptra_worker.tools.capsule.replay.replaying import surroundings

PROGRAM = Path(sys.executable).with_name("dioptra-worker")


def replay(folder: Path, job: ExampleJob) -> tuple[int, dict[str, Any]]:
    """Make a capsule of a job and run it again, in an empty folder."""
    make(job, folder / "42.crate.zip")
    done = subprocess.run(
        [PROGRAM, "capsule", "replay", "--here", "--json", "42.crate.zip"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.process
def test_the_same_comes_out_again(tmp_path: Path) -> None:
    """Metrics and artifacts are the same, bit by bit; packages that differ are told."""
    code, found = replay(tmp_path, ExampleJob())
    assert (code, found["status"]) == (0, "finished"), found
    assert found["differences"] == []
    assert found["metrics"] == {"number": {"0": 3.0, "1": 7.5}}
    assert found["packages"] == []
    # The replay says what it was run on as the job did, and is compared with it.
    run = f"mlruns/0/{found['run']}"
    done = subprocess.run(
        [PROGRAM, "capsule", "diff", "--json", "42.crate.zip", run],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    differing = {it["kind"] for it in json.loads(done.stdout)}
    assert differing <= {"graph", "package", "environment", "determinism"}, done.stdout


def test_variables_are_as_the_job_had_them() -> None:
    """Of those that decide about results, none is the present shell's, set or not."""
    shell = {"OMP_NUM_THREADS": "8", "KERAS_BACKEND": "jax", "CUDA_VISIBLE_DEVICES": ""}
    job = ExampleJob()
    others = {"CUDA_VISIBLE_DEVICES": "", "PATH": "/bin"}
    found = surroundings(job.facts, shell | {"PATH": "/bin", "PYTHONHASHSEED": "1"})
    assert found == {"OMP_NUM_THREADS": "1", **others}
    hashes = job.changed(determinism=DeterminismFacts(seed="5", hash_seed="7"))
    assert surroundings(hashes.facts, shell) == {
        "PYTHONHASHSEED": "7",
        "CUDA_VISIBLE_DEVICES": "",
    }
    foreign = job.changed(determinism=DeterminismFacts(variables={"LD_PRELOAD": "x"}))
    assert surroundings(foreign.facts, shell) == shell
    untold = job.changed(determinism=DeterminismFacts())  # the job's process never said
    assert surroundings(untold.facts, shell) == shell


@pytest.mark.process
def test_unseeded_numbers_come_out_again(tmp_path: Path) -> None:
    """The seed that the worker gave the job is the replay's, of a late import, too."""
    tasks = TASKS.replace(
        "scaled = [",
        "import numpy, random; drawn = [random.random(), numpy.random.rand()];"
        " scaled = [drawn.pop(0) + ",
    )
    _, found = replay(tmp_path, ExampleJob(tasks=tasks))
    generators = random.Random(5), np.random.RandomState([5, 0])  # noqa: S311 - no secret
    drawn = [generators[0].random(), generators[1].rand()]
    assert found["metrics"] == {"number": {"0": 3.0 + drawn[0], "1": 7.5 + drawn[1]}}


@pytest.mark.process
def test_what_comes_out_otherwise_is_told(tmp_path: Path) -> None:
    """A plugin that gives other numbers each time is caught by its first replay."""
    tasks = TASKS.replace("number * factor", "number * factor * os.getpid()")
    packages = {**ExampleJob().packages, "click": "0.1", "no-such": "1"}
    code, found = replay(tmp_path, ExampleJob(tasks=tasks, packages=packages))
    assert code == 1
    assert [it["name"] for it in found["packages"]] == ["click", "no-such"]
    kinds = [it["kind"] for it in found["differences"]]
    assert kinds == ["metric", "metric", "artifact"]


@pytest.mark.process
def test_a_job_that_fails_now_is_told(tmp_path: Path) -> None:
    """That it does not end as before comes first."""
    tasks = TASKS.replace("scaled = [", "raise RuntimeError('no'); scaled = [")
    code, found = replay(tmp_path, ExampleJob(tasks=tasks))
    assert code == 1
    assert found["differences"][0]["kind"] == "status"
    assert "no" in found["differences"][0]["second"]
