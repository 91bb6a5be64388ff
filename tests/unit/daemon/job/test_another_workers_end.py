"""A job that ended at one worker, and whose end another has to tell or to leave alone.

The attempts, journals and outboxes are real; the runner, the fork server, the REST API
and Redis are simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.daemon.job.simulated_platform import (
    Leases,
    PlanningApi,
    attempt_context,
)
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, JOB, REFUSED, Fault
from tests.unit.supervision.simulated_runner import RUN, Conduct, Forkserver

from dioptra_worker.broker.records import LeaseHolder
from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.common.stop import JobStop, StopRequest
from dioptra_worker.daemon.job.attempt import Attempt

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.common.outcome import Outcome
    from dioptra_worker.daemon.job.claim import Claim

SWIFT = Conduct(has_run=True, end="finished", on_sigterm=None, closes_run=True)


class Worker:
    """One worker's attempt at the job."""

    def __init__(
        self,
        api: PlanningApi,
        leases: Leases,
        folder: Path,
        *,
        attempt: int = 1,
        others_wait: bool = False,
    ) -> None:
        """Prepare.

        Args:
            api: The REST API of the job.
            leases: Redis.
            folder: The worker's own folder.
            attempt: Which attempt at the job it is, from 1.
            others_wait: Whether another job waits for this one's end.
        """
        self.begun: list[str] = []
        self.stop = JobStop()
        context = attempt_context(
            api,
            Forkserver(SWIFT, self.begun.append),
            leases,
            folder,
            times={"retry_pace": 0.01},
        )
        request = JobRequest(
            job_id=JOB,
            experiment_id=EXPERIMENT,
            time_limit=None,
            worker=folder.name,
            attempt=attempt,
        )
        self.attempt = Attempt(
            request, context, stop=self.stop, may_park=lambda: others_wait
        )

    def take(self, *, waited: float = 0.0) -> tuple[Claim, Outcome]:
        """Claim the job and see it through."""
        claimed = self.attempt.claim()
        return claimed, self.attempt.run(claimed, waited=waited)


def test_another_worker_delivers_a_final_status(tmp_path: Path) -> None:
    """The end that one worker could not tell, another of another machine tells."""
    leases = Leases()
    api = PlanningApi(status="queued")
    first = Worker(api, leases, tmp_path / "first")

    def away_at_the_end(what: str) -> Fault | None:
        if what != "PUT finished":
            return None
        first.stop.request(StopRequest("shutdown", "the worker was shut down"))
        return REFUSED

    api.fault = away_at_the_end
    _, outcome = first.take()
    assert (outcome.fate, api.status) == ("left", "started")
    held = leases.held
    assert held is not None
    assert (held.status, held.run_id) == ("finished", RUN)
    assert held.line.endswith("Z the job finished")
    api.fault = lambda _: None
    second = Worker(api, leases, tmp_path / "second", attempt=2)
    claimed, outcome = second.take()
    assert (claimed.kind, outcome.fate) == ("lost", "finished")
    assert second.begun == []
    assert [status for status, _ in api.statuses] == ["started", "finished"]
    assert api.messages()[-1] == "the job finished"
    assert api.messages().count("the job finished") == 1


def test_an_end_of_who_has_lost_the_job_is_not_told(tmp_path: Path) -> None:
    """Who learns at the very end that another has the job leaves its status alone."""
    leases = Leases(taken_by=LeaseHolder("another", "elsewhere", pid=1, birth=""))
    api = PlanningApi(status="queued")
    _, outcome = Worker(api, leases, tmp_path).take()
    assert outcome.fate == "dropped"
    assert "'another' on elsewhere has taken it over" in outcome.reason
    assert leases.held is None
    assert [status for status, _ in api.statuses] == ["started"]


def test_what_is_not_taken_for_too_long_is_given_up(tmp_path: Path) -> None:
    """A result at which the API fails alone parks its job, and at last fails it."""
    leases = Leases()
    failing = Fault(status=500)
    api = PlanningApi(
        status="queued",
        fault=lambda what: failing if what == "POST mlflowRun" else None,
    )
    _, outcome = Worker(api, leases, tmp_path, others_wait=True).take()
    assert (outcome.fate, api.status) == ("parked", "started")
    again = Worker(api, leases, tmp_path, attempt=2, others_wait=True)
    claimed, outcome = again.take(waited=10_000.0)
    assert (claimed.kind, outcome.fate, api.status) == ("lost", "failed", "failed")
    assert outcome.reason.startswith("1 results of the job could not be delivered: ")
