"""What one attempt does with what its runner says, case by case; see the model, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.daemon.job.simulated_platform import (
    Leases,
    PlanningApi,
    attempt_context,
)
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, JOB
from tests.unit.supervision.simulated_runner import RUN, Conduct, Forkserver

from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.common.stop import JobStop
from dioptra_worker.daemon.job.attempt import Attempt

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("code", [0, 1])
def test_a_run_is_closed_by_who_ends_well(code: int, tmp_path: Path) -> None:
    """That its MLflow run is closed is believed of a runner that ends as one does."""
    conduct = Conduct(
        has_run=True, end="finished", on_sigterm=None, closes_run=True, code=code
    )
    forkserver = Forkserver(conduct, lambda _: None)
    api = PlanningApi(status="queued")
    request = JobRequest(
        job_id=JOB, experiment_id=EXPERIMENT, time_limit=None, worker="me"
    )
    context = attempt_context(api, forkserver, Leases(), tmp_path)
    attempt = Attempt(request, context, stop=JobStop())
    assert attempt.run(attempt.claim()).fate == "finished"
    assert forkserver.closed == ([(RUN, "FINISHED")] if code else [])
