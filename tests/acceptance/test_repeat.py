"""``dioptra-worker jobs repeat`` on the real platform."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from tests.plugins.testbed import Platform, platform_of_a_test
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.people import Person
    from tests.plugins.testbed import Entrypoint

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SOURCE = """
import random
from dioptra_worker.sdk.metrics import log_metric


@pyplugs.register
def draw(seed):
    if seed:
        random.seed(seed)
    log_metric("drawn", random.random())
    return {"drawn.txt": f"{random.random()}\\n"}


@pyplugs.register
def boom():
    raise ValueError("no such luck")
"""


platform = platform_of_a_test


def drawing(platform: Platform, seed: int) -> Entrypoint:
    """An entrypoint that draws numbers; it seeds nothing if the seed is 0."""
    return platform.entrypoint(
        SOURCE,
        {"drawing": {"draw": ["$seed"]}},
        parameters={"seed": seed},
        artifact_outputs={"kept": {"contents": "$drawing", "task": {"name": "Folder"}}},
    )


def test_a_seeded_job_is_identical_and_no_job_is_submitted_twice(
    platform: Platform, person: Person, stack: LocalStack, tmp_path: Path
) -> None:
    """Interrupted while they wait, it goes on with its jobs, and with more of them."""
    job = platform.submit(drawing(platform, 7))
    at = ("jobs", "list", "--queue", platform.queue, "--json")
    late = person.call("jobs", "repeat", job, "-n", 2, "--timeout", 0.1)
    assert late.returncode == 1
    assert "no worker listens there" in late.stderr
    assert "is still queued, and the time is up: the same command" in late.stderr
    with person.calling("jobs", "repeat", job, "-n", 2) as call:
        call.wait_for("no worker listens there")
        call.process.send_signal(signal.SIGINT)
        assert call.wait() == 130
    assert "2 of 2 jobs are there already" in call.text
    assert "the same command again goes on with them" in call.text
    with worker(stack.environment(), tmp_path, platform.queue):
        found = person.json("jobs", "repeat", job, "-n", 3, "--json")
        told = person.told("jobs", "repeat", job, "-n", 3)
    assert len(person.json(*at)) == 4
    assert found["job"] == job
    assert (found["runs"], found["finished"], found["identical"]) == (3, 3, True)
    assert [it["identical"] for it in found["metrics"]] == [True]
    assert found["artifacts"] == {"outputs/kept/kept/drawn.txt": 1}
    assert "metric drawn at step 0: identical, " in told
    assert "identical in all 3 runs, bit by bit\n" in told
    assert "jobs of one worker share the order of hashes" in told
    (marked,) = [it for it in person.json(*at) if it["id"] == found["jobs"][2]]
    assert marked["description"].endswith(f"repetition 3 of job {job}")


def test_an_unseeded_job_is_told_with_its_likely_cause(
    platform: Platform, person: Person, stack: LocalStack, tmp_path: Path
) -> None:
    """Locally it is tried out; a replay has the worker's seed, and gives the same."""
    job = platform.submit(drawing(platform, 0))
    kept = ("--store", tmp_path / "runs")
    ruled = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    environment = {**stack.environment(), **ruled}
    with worker(environment, tmp_path, platform.queue):
        answer = person.call("jobs", "repeat", job, "-n", 6)
        assert platform.wait(job) == "finished"
        unlike = person.call("jobs", "repeat", job, "-n", 2, "--local", *kept)
        file = str(tmp_path / "job.crate.zip")
        person.told("jobs", "capsule", job, "-o", file)
    replayed = person.json("capsule", "replay", "--here", "--json", *kept, file)
    assert replayed["differences"] == []
    assert answer.returncode == 1, answer.stderr
    words = "the results differ; likely by random numbers that nobody has seeded\n"
    assert words in answer.stderr
    assert "artifact outputs/kept/kept/drawn.txt: 6 versions" in answer.stdout
    assert unlike.returncode == 1, unlike.stderr
    assert words in unlike.stderr


def test_jobs_that_fail_are_told_and_counted(
    platform: Platform, person: Person, stack: LocalStack, tmp_path: Path
) -> None:
    """Why they failed is said of each."""
    job = platform.submit(platform.entrypoint(SOURCE, {"breaking": {"boom": []}}))
    with worker(stack.environment(), tmp_path, platform.queue):
        answer = person.call("jobs", "repeat", job, "-n", 2)
    assert answer.returncode == 1
    assert answer.stderr.count("no such luck") == 2
    assert "2 of 2 runs failed" in answer.stderr
