"""What one attempt does with what its runner says, case by case; see the model, too."""

from __future__ import annotations

import errno
import os
import selectors
from typing import TYPE_CHECKING
from unittest.mock import Mock

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


REQUEST = JobRequest(job_id=JOB, experiment_id=EXPERIMENT, time_limit=None, worker="me")


def _attempt(forkserver: Forkserver, folder: Path) -> Attempt:
    api = PlanningApi(status="queued")
    context = attempt_context(api, forkserver, Leases(), folder)
    return Attempt(REQUEST, context, stop=JobStop())


@pytest.mark.parametrize("code", [0, 1])
def test_a_run_is_closed_by_who_ends_well(code: int, tmp_path: Path) -> None:
    """That its MLflow run is closed is believed of a runner that ends as one does."""
    conduct = Conduct(
        has_run=True, end="finished", on_sigterm=None, closes_run=True, code=code
    )
    forkserver = Forkserver(conduct, lambda _: None)
    attempt = _attempt(forkserver, tmp_path)
    assert attempt.run(attempt.claim()).fate == "finished"
    assert forkserver.closed == ([(RUN, "FINISHED")] if code else [])


def test_a_runner_that_nobody_can_supervise_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a descriptor for its supervisor, the runner's are not kept either."""
    conduct = Conduct(has_run=True, end="waits", on_sigterm=None, closes_run=False)
    forkserver = Forkserver(conduct, lambda _: None)
    attempt = _attempt(forkserver, tmp_path)
    claimed = attempt.claim()
    none_left = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    monkeypatch.setattr(selectors, "DefaultSelector", Mock(side_effect=none_left))
    outcome = attempt.run(claimed)
    assert outcome.fate == "failed"
    assert os.strerror(errno.EMFILE) in outcome.reason
    (runner,) = forkserver.runners
    assert runner.pipes.control.fileno() == -1
