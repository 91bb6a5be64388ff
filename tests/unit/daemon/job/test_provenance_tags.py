"""The stamp of a job: made of what the API says, and never in the job's way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dioptra_worker.api.models import Job
from dioptra_worker.daemon.job.provenance_tags import run_tags
from dioptra_worker.protocol.messages import Plan
from dioptra_worker.settings import Settings

JOB = Job(
    id=7,
    experiment_id=3,
    group_id=1,
    status="started",
    entrypoint_id=2,
    entrypoint_snapshot_id=5,
    entrypoint_name="train",
    queue="q",
    user="ada",
)
PLAN = Plan(
    job_id=7,
    entrypoint="train",
    config={},
    parameters={"rate": 0.1, "elements": ["a"]},
    artifact_tasks=(),
    inputs=(),
    plugins="",
    artifact_plugins="",
    defaults={"rate": 0.1, "unused": 1, "elements": []},
)


@pytest.fixture(name="settings")
def _settings() -> Settings:
    required: dict[str, Any] = {
        "DIOPTRA_WORKER_USERNAME": "worker",
        "DIOPTRA_WORKER_PASSWORD": "secret-word",
        "DIOPTRA_API": "http://localhost:5000",
        "RQ_REDIS_URI": "redis://localhost:6379/0",
        "MLFLOW_TRACKING_URI": "http://localhost:35000",
        "MLFLOW_S3_ENDPOINT_URL": "http://localhost:39000",
    }
    return Settings(**required)


def _stamp(settings: Settings, job: Job = JOB, plan: Plan = PLAN) -> dict[str, str]:
    return run_tags(job, plan, settings, worker="w", platform_version="1.2.2")


def test_who_and_where(settings: Settings) -> None:
    """The tags name the person, the queue, the worker and the platform."""
    found = _stamp(settings)
    assert found["dioptra.user"] == "ada"
    assert found["dioptra.queue"] == "q"
    assert found["dioptra.workerName"] == "w"
    assert found["dioptra.platformVersion"] == "1.2.2"


def test_left_out_and_data(settings: Settings) -> None:
    """A default that is left out counts as passed, and data does not count."""
    passed = replace(PLAN, parameters={"rate": 0.1, "unused": 1, "elements": ["b"]})
    changed = replace(PLAN, parameters={"rate": 0.2})
    ids = [
        _stamp(settings, plan=plan)["dioptra.workerRunId"]
        for plan in (PLAN, passed, changed)
    ]
    assert ids[0] == ids[1] != ids[2]


def test_a_stamp_that_fails_fails_no_job(settings: Settings) -> None:
    """What cannot be made out leaves the job without a stamp, and raises nothing."""
    odd: Any = None
    assert _stamp(settings, job=replace(JOB, swaps=odd)) == {}
    assert _stamp(settings, plan=replace(PLAN, parameters=odd)) == {}
