"""The clock of the day is set while a worker runs: nothing goes by it but time stamps.

What is preloaded into the worker sets the clock for it and for all that it starts, and
for nobody else.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.plugins.fault_proxy import Rule, answer, fault_proxy
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.testbed import Platform
from tests.plugins.until import until
from tests.plugins.worker_process import times, worker
from tests.soak.stepped_clock import SteppedClock, build

if TYPE_CHECKING:
    from pathlib import Path

    import redis
    from tests.plugins.clients import ApiClient, MlflowReader

    from dioptra_worker.tools.local import LocalStack

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]

HOUR = 3600.0
LEASE_TTL = 6.0


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["ahead", "back"])
def test_a_job_that_is_parked_at_its_end(
    step: float,
    api: ApiClient,
    stack: LocalStack,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """Its pauses are what they are, and nothing is given up sooner, or never."""
    library = build(tmp_path)
    assert library is not None
    clock = SteppedClock(library, tmp_path / "clock")
    platform = Platform(api)
    with fault_proxy(stack.environment()["DIOPTRA_API"]) as proxy:
        environment = {**stack.environment(), **clock.environment}
        environment["DIOPTRA_API"] = proxy.url
        settings = {
            **times(retry_pace=0.2, taken_timeout=1.0),
            # Less than the step, and more than the job waits.
            "DIOPTRA_WORKER_DELIVERY_DEADLINE": str(HOUR / 2),
        }
        with worker(
            environment, tmp_path / "worker", platform.queue, settings=settings
        ) as process:
            # Its artifact is in its store before the step, and waits to be registered.
            rule = proxy.add(Rule("POST", r"/artifacts/?$", answer(500), times=10**6))
            parked = StepwiseJob(platform, tmp_path / "parked")
            parked.go_on()
            waiting = StepwiseJob(platform, tmp_path / "waiting", artifact=False)
            waiting.go_on()
            process.wait_for(f"job {parked.job} is parked for")
            clock.step(step)
            assert platform.wait(waiting.job, seconds=60) == "finished"
            process.wait_for(f"job {parked.job} goes back to queue", seconds=60)
            until(lambda: process.log.count(f"job {parked.job} started") > 1)
            rule.times = 0
            assert platform.wait(parked.job, seconds=60) == "finished"
            assert process.process.poll() is None
    assert len(parked.runs) == parked.ends == 1
    assert mlflow_reader.status(platform.run_id(parked.job)) == "FINISHED"
    assert len(platform.job(parked.job)["artifacts"]) == 1
    assert platform.log(parked.job)[-1].text == "the job finished"
    assert "Traceback" not in process.log


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["ahead", "back"])
def test_a_running_and_a_parked_job(
    step: float,
    api: ApiClient,
    stack: LocalStack,
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """The one runs on, in one attempt; the other is tried again when its time comes."""
    library = build(tmp_path)
    assert library is not None
    clock = SteppedClock(library, tmp_path / "clock")
    platform = Platform(api)
    parked, running = (
        # Without an artifact: a store refuses who has another time by far.
        StepwiseJob(platform, tmp_path / name, stops=2, artifact=False)
        for name in ("parked", "running")
    )
    lease = f"dioptra-worker:lease:{running.job}"
    with fault_proxy(stack.environment()["DIOPTRA_API"]) as proxy:
        path = rf"/jobs/{parked.job}/status"
        rule = proxy.add(Rule("PUT", path, answer(500), times=10**6))
        environment = {**stack.environment(), **clock.environment}
        environment["DIOPTRA_API"] = proxy.url
        settings = {
            **times(retry_pace=0.2, taken_timeout=1.0),
            "DIOPTRA_WORKER_LEASE_TTL": str(LEASE_TTL),
        }
        with worker(
            environment, tmp_path / "worker", platform.queue, settings=settings
        ) as process:
            running.wait_at(0)
            process.wait_for(f"job {parked.job} is parked for")
            clock.step(step)
            running.go(0)
            running.wait_at(1)
            platform.wait_for_line(running.job, "line 1")
            renewed = redis_client.pttl(lease)
            until(lambda: redis_client.pttl(lease) > renewed)  # and not once only
            running.go(1)
            assert platform.wait(running.job) == "finished"
            rule.times = 0
            parked.go_on()
            assert platform.wait(parked.job, seconds=60) == "finished"
            assert process.process.poll() is None
    for job in (running, parked):
        assert len(job.runs) == job.ends == 1
        assert mlflow_reader.status(platform.run_id(job.job)) == "FINISHED"
        lines = platform.log(job.job)
        said = [line.text for line in lines if line.logger == "stdout"]
        assert said == ["line 0", "line 1"]
        assert lines[-1].text == "the job finished"
    assert "Traceback" not in process.log
