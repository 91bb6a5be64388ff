"""A REST API that keeps deleted jobs and calls them so: a worker lets them go.

Today's answers 404; here everything else goes on working for the job.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.plugins.fault_proxy import FaultProxy, Rule, fault_proxy
from tests.plugins.scene import Scene
from tests.plugins.until import PATIENCE, until
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.clients import MlflowReader
    from tests.plugins.fault_proxy import Exchange
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

SOURCE = """
@pyplugs.register
def rest():
    print("the step runs")
    time.sleep(120)
"""
ALWAYS = 10_000


def _deleted(exchange: Exchange) -> None:
    """Show a job as it is, and call it deleted."""
    answered = exchange.forward()
    body = json.loads(answered.body) | {"deleted": True}
    exchange.reply(replace(answered, body=json.dumps(body).encode()))


@pytest.fixture(name="proxy")
def _proxy(stack: LocalStack) -> Iterator[FaultProxy]:
    with fault_proxy(stack.environment()["DIOPTRA_API"]) as proxy:
        yield proxy


@pytest.fixture(name="scene")
def _scene(
    stack: LocalStack, proxy: FaultProxy, platform: Platform, tmp_path: Path
) -> Iterator[Scene]:
    settings = {"DIOPTRA_WORKER_STATUS_POLL": "0.5", "DIOPTRA_WORKER_KILL_GRACE": "1"}
    environment = {**stack.environment(), "DIOPTRA_API": proxy.url}
    with worker(environment, tmp_path, platform.queue, settings=settings) as running:
        yield Scene(platform, running)


@pytest.mark.parametrize("when", ["before it is fetched", "while it runs"])
def test_a_job_that_is_called_deleted(
    when: str, mlflow_reader: MlflowReader, proxy: FaultProxy, scene: Scene
) -> None:
    """It is stopped, leaves nothing, and is neither failed nor requeued."""
    platform = scene.platform
    rule = Rule("GET", r"/jobs/\d+$", _deleted, times=ALWAYS)
    runs = when == "while it runs"
    if not runs:
        proxy.add(rule)
    job = platform.submit(platform.entrypoint(SOURCE, {"resting": {"rest": []}}))
    if runs:
        platform.wait_for_line(job, "the step runs", seconds=PATIENCE)
        proxy.add(rule)
    scene.daemon.wait_for(f"job {job} dropped", seconds=PATIENCE)
    assert rule.hits
    rule.path = rf"/jobs/{job}$"  # the sweep has to see that it is deleted
    assert ("the step runs" in platform.text(job)) is runs
    assert platform.status(job) == "started"  # of a deleted job nothing is set
    run = platform.api.get(f"/jobs/{job}/mlflowRun")["mlflowRunId"]
    if runs or run:
        until(lambda: mlflow_reader.status(run.replace("-", "")) == "KILLED")
    scene.assert_clean()
