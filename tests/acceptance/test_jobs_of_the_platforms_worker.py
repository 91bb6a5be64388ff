"""``dioptra-worker jobs`` about jobs that the platform's own worker runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from benchmarks.rivals import PEER, Rival, running
from tests.plugins.people import Person
from tests.plugins.stack import cache_folder, peer_python
from tests.plugins.testbed import Platform, platform_of_a_test

from dioptra_worker.tools.local import ensure_peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

SOURCE = """
@pyplugs.register
def hold(path):
    LOG.warning("holding")
    Path(path + ".held").touch()
    while not Path(path).exists():
        time.sleep(0.05)
    LOG.warning("let go")
"""
SLOW = 120.0
"""Seconds that this worker may take to begin a job: it imports everything anew."""


platform = platform_of_a_test


@pytest.fixture(name="worker")
def _worker(stack: LocalStack, platform: Platform, tmp_path: Path) -> Iterator[None]:
    python = peer_python() or ensure_peer(cache_folder()).python
    environment = stack.environment()
    with running(Rival(PEER, python), environment, platform.queue, tmp_path / "peer"):
        yield


def _submitted(platform: Platform, signal_file: Path) -> int:
    """A job that runs until there is a file."""
    graph = {"held": {"hold": [str(signal_file)]}}
    return platform.submit(platform.entrypoint(SOURCE, graph))


def _held(platform: Platform, signal_file: Path) -> int:
    """Such a job, which runs by now."""
    job = _submitted(platform, signal_file)
    platform.wait(job, "started", seconds=SLOW)
    # Not by its log: this worker sends its lines ten at a time.
    deadline = time.monotonic() + SLOW
    while not signal_file.with_name(f"{signal_file.name}.held").exists():
        assert time.monotonic() < deadline, platform.text(job)
        time.sleep(0.05)
    return job


@pytest.mark.usefixtures("worker")
def test_cancel(stack: LocalStack, platform: Platform, tmp_path: Path) -> None:
    """A job that runs is stopped, has failed, and its log says who wanted that."""
    person = Person(stack.environment(), tmp_path)
    job = _held(platform, tmp_path / "go")
    assert person.told("jobs", "cancel", job) == f"job {job} is cancelled\n"
    assert platform.status(job) == "failed"
    text = platform.text(job)
    assert "cancelled by worker" in text
    assert "the job was stopped: it was cancelled, and no worker runs it" in text
    (tmp_path / "go").touch()
    other = _submitted(platform, tmp_path / "go")
    assert platform.wait(other, seconds=SLOW) == "finished"  # it takes the next one
    assert platform.status(job) == "failed"
    assert "let go" not in platform.text(job)
    assert person.call("jobs", "cancel", job).returncode == 1
    logs = person.told("jobs", "logs", "--step", "held", other)
    assert logs.startswith("== Step: held\n")
    assert "let go" in logs


@pytest.mark.usefixtures("worker")
def test_requeue(stack: LocalStack, platform: Platform, tmp_path: Path) -> None:
    """A job that runs is left alone, and by force stopped and run again."""
    person = Person(stack.environment(), tmp_path)
    job = _held(platform, tmp_path / "go")
    refused = person.call("jobs", "requeue", job)
    assert refused.returncode == 1
    assert f"runs job {job}" in refused.stderr
    assert platform.status(job) == "started"
    told = person.told("jobs", "requeue", "--force", job)
    assert told == f"job {job} is the next one of queue {platform.queue!r}\n"
    (tmp_path / "go").touch()
    assert platform.wait(job, seconds=SLOW) == "finished"
    statuses = [
        change["status"]
        for change in person.json("jobs", "show", job, "--json")["timeline"]
    ]
    assert statuses == ["queued", "started", "queued", "started", "finished"]
