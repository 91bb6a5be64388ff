"""What one attempt does with what its runner says, case by case; see the model, too."""

from __future__ import annotations

import errno
import os
import selectors
from dataclasses import replace
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
from dioptra_worker.common.stop import LEASE_LOST, JobStop
from dioptra_worker.daemon.job.attempt import Attempt
from dioptra_worker.daemon.outbox.journal import Journals
from dioptra_worker.protocol.messages import Log

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.api.models import Job


REQUEST = JobRequest(job_id=JOB, experiment_id=EXPERIMENT, time_limit=None, worker="me")
WITH_TOKEN = replace(REQUEST, start_token="t" * 32)


def _attempt(
    forkserver: Forkserver,
    folder: Path,
    *,
    api: PlanningApi | None = None,
    leases: Leases | None = None,
    request: JobRequest = REQUEST,
    stop: JobStop | None = None,
) -> Attempt:
    api = api or PlanningApi(status="queued")
    context = attempt_context(api, forkserver, leases or Leases(), folder)
    return Attempt(request, context, stop=stop or JobStop())


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


def test_the_run_of_a_job_that_is_another_s_is_left_to_it(tmp_path: Path) -> None:
    """Who has lost its lease says no more how a run ends, nor does it close it."""
    stop, leases = JobStop(), Leases()
    moments: list[str] = []

    def at(moment: str) -> None:
        moments.append(moment)
        if moment == "working":
            stop.request(LEASE_LOST)

    conduct = Conduct(has_run=True, end="waits", on_sigterm=None, closes_run=False)
    forkserver = Forkserver(conduct, at)
    attempt = _attempt(
        forkserver, tmp_path, leases=leases, stop=stop, request=WITH_TOKEN
    )
    assert attempt.run(attempt.claim()).fate == "dropped"
    assert "working" in moments
    assert forkserver.closed == leases.to_close == leases.unknown == []
    assert not attempt.is_settled  # who sweeps has it closed if nobody takes it over


def test_what_a_lost_start_began_is_looked_for(tmp_path: Path) -> None:
    """Redis has perhaps forgotten it: the journal that was left has not."""
    conduct = Conduct(has_run=True, end="finished", on_sigterm=None, closes_run=True)
    forkserver = Forkserver(conduct, lambda _: None)
    api, leases, lost = PlanningApi(status="started"), Leases(), "f" * 32
    journal = Journals(tmp_path, api=api.url).open(
        job_id=JOB,
        experiment_id=EXPERIMENT,
        attempt=1,
        worker="lost",
        start_token=lost,
    )
    assert journal is not None
    with journal:
        journal.log.put(Log(severity="INFO", logger="stdout", message="a line"))
    request = replace(WITH_TOKEN, attempt=2)
    attempt = _attempt(forkserver, tmp_path, api=api, leases=leases, request=request)
    assert attempt.run(attempt.claim()).fate == "finished"
    assert leases.unknown == [(lost, "KILLED")]
    assert not list(tmp_path.glob("outbox/job-*"))


def test_what_closes_a_lost_run_is_waited_for(tmp_path: Path) -> None:
    """Who takes a job over closes its run last, when nobody else does so any more."""
    conduct = Conduct(has_run=True, end="finished", on_sigterm=None, closes_run=True)
    forkserver = Forkserver(conduct, lambda _: None)
    api, leases = PlanningApi(status="started", run_id="b" * 32), Leases(closers=2)
    request = replace(WITH_TOKEN, attempt=3)
    attempt = _attempt(forkserver, tmp_path, api=api, leases=leases, request=request)
    assert attempt.claim().status == "failed"
    assert leases.asked == ["FAILED"] * 3
    assert forkserver.closed == [("b" * 32, "FAILED")]


@pytest.mark.parametrize("is_last", [False, True])
def test_what_is_not_the_job_s_fault(is_last: bool, tmp_path: Path) -> None:
    """A job that this worker cannot prepare is given back; the last time, it fails."""
    forkserver = Forkserver(OSError(errno.ENOMEM, "no memory"), lambda _: None)
    api = PlanningApi(status="queued")
    context = attempt_context(api, forkserver, Leases(), tmp_path)
    attempt = Attempt(REQUEST, context, stop=JobStop(), is_last_try=is_last)
    outcome = attempt.run(attempt.claim())
    assert outcome.fate == ("failed" if is_last else "given back")
    assert "no memory" in attempt.trouble
    assert api.status == ("failed" if is_last else "queued")
    assert "no memory" in api.messages()[-1]


@pytest.mark.parametrize("is_last", [False, True])
def test_what_is_missing_while_it_is_fetched(is_last: bool, tmp_path: Path) -> None:
    """The same of what fails beside its runner, which is ended."""

    class Full(PlanningApi):
        def declared_parameters(self, _: Job) -> tuple[()]:
            raise OSError(errno.ENOSPC, "no space")

    api = Full(status="queued")
    conduct = Conduct(has_run=True, end="waits", on_sigterm="stopped", closes_run=True)
    forkserver = Forkserver(conduct, lambda _: None)
    context = attempt_context(api, forkserver, Leases(), tmp_path)
    attempt = Attempt(REQUEST, context, stop=JobStop(), is_last_try=is_last)
    outcome = attempt.run(attempt.claim())
    assert outcome.fate == ("failed" if is_last else "given back")
    assert "no space" in attempt.trouble
    assert not attempt.has_begun


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
