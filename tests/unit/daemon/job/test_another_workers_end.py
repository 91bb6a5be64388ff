"""A job that ended at one worker, and whose end another has to tell or to leave alone.

The attempts, journals and outboxes are real; the runner, the fork server, the REST API
and Redis are simulated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.daemon.job.simulated_platform import (
    OUTPUTS,
    Leases,
    PlanningApi,
    attempt_context,
)
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, JOB, REFUSED, Fault
from tests.unit.supervision.simulated_runner import RUN, Conduct, Forkserver

from dioptra_worker.broker.parking import Parked
from dioptra_worker.broker.records import LeaseHolder
from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.common.stop import JobStop, StopRequest, lease_clock
from dioptra_worker.daemon.job.attempt import Attempt
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dioptra_worker.broker.records import PendingStatus
    from dioptra_worker.common.outcome import Outcome
    from dioptra_worker.daemon.job.claim import Claim

SWIFT = Conduct(
    has_run=True, end="finished", on_sigterm=None, closes_run=True, artifacts=OUTPUTS
)
PATIENT = replace(SWIFT, end="waits", on_sigterm="stopped")
REGISTERED = [f"s3://b/{RUN}/{name}" for name in OUTPUTS]


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
        conduct: Conduct = SWIFT,
        run: str = RUN,
    ) -> None:
        """Prepare.

        Args:
            api: The REST API of the job.
            leases: Redis.
            folder: The worker's own folder.
            attempt: Which attempt at the job it is, from 1.
            others_wait: Whether another job waits for this one's end.
            conduct: How its runner behaves.
            run: The MLflow run that it begins.
        """
        self.begun: list[str] = []
        self.on_moment: dict[str, Callable[[], object]] = {}
        self.stop = JobStop()
        context = attempt_context(
            api,
            Forkserver(conduct, self._at, run=run),
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

    def _at(self, moment: str) -> None:
        self.begun.append(moment)
        self.on_moment.get(moment, lambda: None)()

    def take(self, *, parked: Parked | None = None) -> tuple[Claim, Outcome]:
        """Claim the job and see it through."""
        claimed = self.attempt.claim()
        return claimed, self.attempt.run(claimed, parked=parked)


def test_another_worker_delivers_a_final_status(tmp_path: Path) -> None:
    """The end that one worker could not tell, another of another machine tells."""
    leases = Leases()
    api = PlanningApi(status="queued")
    first = Worker(api, leases, tmp_path / "first")

    def away_at_the_end(what: str) -> Fault | None:
        if what not in {"POST artifact", "PUT finished"}:
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
    assert api.artifacts == []
    api.fault = lambda _: None
    second = Worker(api, leases, tmp_path / "second", attempt=2)
    claimed, outcome = second.take()
    assert (claimed.kind, outcome.fate) == ("lost", "finished")
    assert second.begun == []
    assert [status for status, _ in api.statuses] == ["started", "finished"]
    assert api.messages()[-1] == "the job finished"
    assert api.messages().count("the job finished") == 1
    assert api.artifacts == REGISTERED


def test_artifacts_wait_until_redis_knows_the_end(tmp_path: Path) -> None:
    """Nothing of an attempt is registered while another one may yet be made."""
    seen: list[int] = []

    class Forgetful(Leases):
        def record_pending_status(self, *args: Any) -> LeaseHolder | None:
            seen.append(len(api.artifacts))
            if len(seen) < 4:
                raise ServiceUnavailable("away", service="Redis")
            return super().record_pending_status(*args)

    api = PlanningApi(status="queued")
    _, outcome = Worker(api, Forgetful(), tmp_path).take()
    assert (outcome.fate, api.artifacts) == ("finished", REGISTERED)
    assert seen[:4] == [0] * 4
    assert "once Redis knows that the job has ended" in "".join(api.messages())


@pytest.mark.parametrize(
    ("how", "fate"), [("the lease is over", "dropped"), ("a shutdown", "left")]
)
def test_artifacts_of_who_may_lose_the_job(how: str, fate: str, tmp_path: Path) -> None:
    """Without Redis for as long as there is time, an attempt is not seen at all."""

    class Away(Leases):
        def record_pending_status(self, *_: Any) -> LeaseHolder | None:
            if how == "a shutdown":
                worker.stop.request(StopRequest("shutdown", "the worker was shut down"))
            else:
                worker.stop.own_until(lease_clock() + 0.05)
            raise ServiceUnavailable("away", service="Redis")

    api = PlanningApi(status="queued")
    worker = Worker(api, Away(), tmp_path)
    _, outcome = worker.take()
    assert outcome.fate == fate
    assert api.artifacts == []
    assert [status for status, _ in api.statuses] == ["started"]
    if fate == "left":  # it is on this machine
        _, outcome = Worker(api, Leases(), tmp_path, attempt=2).take()
        assert (outcome.fate, api.artifacts) == ("finished", REGISTERED)
        assert api.messages().count("the job finished") == 1


def test_the_end_of_another_attempt(tmp_path: Path) -> None:
    """Who has an end of its own that does not count tells the one that does."""

    class Away(Leases):
        def record_pending_status(self, *_: Any) -> LeaseHolder | None:
            first.stop.request(StopRequest("shutdown", "the worker was shut down"))
            raise ServiceUnavailable("away", service="Redis")

    api = PlanningApi(status="queued")
    first = Worker(api, Away(), tmp_path / "first")
    first.take()
    api.status, leases = "queued", Leases()
    second = Worker(api, leases, tmp_path / "second", attempt=2, run="b" * 32)

    def away_at_the_end(what: str) -> Fault | None:
        if what not in {"POST artifact", "PUT finished"}:
            return None
        second.stop.request(StopRequest("shutdown", "the worker was shut down"))
        return REFUSED

    api.fault = away_at_the_end
    second.take()
    api.fault = lambda _: None
    _, outcome = Worker(api, leases, tmp_path / "first", attempt=3).take()
    assert outcome.fate == "finished"
    assert api.artifacts == [f"s3://b/{'b' * 32}/{name}" for name in OUTPUTS]


def test_artifacts_of_a_job_that_is_given_back(tmp_path: Path) -> None:
    """What an attempt has stored that a shutdown ends is not registered."""
    api = PlanningApi(status="queued")
    worker = Worker(api, Leases(), tmp_path, conduct=PATIENT)
    worker.on_moment["stored"] = lambda: worker.stop.request(
        StopRequest("shutdown", "the worker was shut down")
    )
    _, outcome = worker.take()
    assert (outcome.fate, api.status, api.artifacts) == ("given back", "queued", [])
    assert list(tmp_path.glob("outbox/*")) == []


def test_artifacts_of_a_job_that_fails(tmp_path: Path) -> None:
    """What a job has stored before it failed is registered."""
    api = PlanningApi(status="queued")
    worker = Worker(api, Leases(), tmp_path, conduct=replace(SWIFT, end="failed"))
    _, outcome = worker.take()
    assert (outcome.fate, api.artifacts) == ("failed", REGISTERED)


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
    claimed, outcome = again.take(parked=Parked(job_id=JOB, age=10_000.0, left=-1.0))
    assert (claimed.kind, outcome.fate, api.status) == ("lost", "failed", "failed")
    assert outcome.reason.startswith("3 results of the job could not be delivered: ")


@pytest.mark.parametrize("where", ["first", "second"])
def test_an_end_that_is_said_stays_the_end(where: str, tmp_path: Path) -> None:
    """It does so also where the API no more shows the log and takes no result."""
    leases, api = Leases(), PlanningApi(status="queued")
    first = Worker(api, leases, tmp_path / "first")

    def away_at_the_end(what: str) -> Fault | None:
        if what != "PUT finished":
            return None
        first.stop.request(StopRequest("shutdown", "the worker was shut down"))
        return REFUSED

    api.fault = away_at_the_end
    _, outcome = first.take()
    assert (outcome.fate, api.messages()[-1]) == ("left", "the job finished")
    assert leases.held is not None
    assert leases.held.is_told
    broken = {"GET log", "POST mlflowRun", "GET mlflowRun", "POST artifact"}
    broken |= {"GET artifacts"}
    api.fault = lambda what: Fault(status=500) if what in broken else None
    again = Worker(api, leases, tmp_path / where, attempt=2, others_wait=True)
    _, outcome = again.take(parked=Parked(job_id=JOB, age=10_000.0, left=-1.0))
    assert (outcome.fate, api.status) == ("finished", "finished")
    assert "could not be delivered" not in "".join(api.messages())
    assert api.messages().count("the job finished") == 1


def test_the_end_is_said_once_redis_knows_that_it_may_be(tmp_path: Path) -> None:
    """Who tells it next has to know whether it can still become another."""
    said: list[list[str]] = []

    class Forgetful(Leases):
        def record_pending_status(
            self, pending: PendingStatus, stop: JobStop
        ) -> LeaseHolder | None:
            if pending.is_told:
                said.append(api.messages())
                if len(said) < 3:
                    raise ServiceUnavailable("away", service="Redis")
            return super().record_pending_status(pending, stop)

    api = PlanningApi(status="queued")
    _, outcome = Worker(api, Forgetful(), tmp_path).take()
    assert (outcome.fate, api.artifacts) == ("finished", REGISTERED)
    assert len(said) == 3
    assert "the job finished" not in said[-1]
    assert api.messages()[-1] == "the job finished"


def test_redis_is_away_once_all_is_delivered(tmp_path: Path) -> None:
    """The job ends while it is ours: a Redis that forgets it has it done again."""

    class Away(Leases):
        def record_pending_status(
            self, pending: PendingStatus, stop: JobStop
        ) -> LeaseHolder | None:
            if pending.is_told:
                raise ServiceUnavailable("away", service="Redis")
            return super().record_pending_status(pending, stop)

    api = PlanningApi(status="queued")
    worker = Worker(api, Away(), tmp_path)
    worker.stop.own_until(lease_clock() + 0.5)
    _, outcome = worker.take()
    assert (outcome.fate, api.status) == ("finished", "finished")
    assert (api.artifacts, api.messages()[-1]) == (REGISTERED, "the job finished")


def test_the_log_of_a_parked_job(tmp_path: Path) -> None:
    """It says why the job is parked, when it is tried again, and when given up."""
    failing = Fault(status=500, words="<broken>")
    api = PlanningApi(
        status="queued",
        fault=lambda what: failing if what == "POST mlflowRun" else None,
    )
    leases = Leases()
    first = Worker(api, leases, tmp_path, others_wait=True)
    _, outcome = first.take()
    assert (outcome.fate, first.attempt.gives_up) == ("parked", True)
    line = api.messages()[-1]
    assert line.startswith("this job is parked and others are run: the REST API fails")
    assert "it is tried again in 10 s; what is not taken in 1 h is given up" in line
    again = Worker(api, leases, tmp_path, attempt=2, others_wait=True)
    again.take(parked=Parked(job_id=JOB, age=1800.0, left=-1.0, tries=3))
    line = api.messages()[-1]
    assert "it is tried again in 1 min 20 s; what is not taken in 30 min is" in line


def test_a_log_that_is_not_taken_for_too_long(tmp_path: Path) -> None:
    """A log at which the API fails alone is given up, and the job ends as it ended."""
    leases = Leases()
    api = PlanningApi(
        status="queued",
        fault=lambda what: Fault(status=503) if what == "POST log" else None,
    )
    _, outcome = Worker(api, leases, tmp_path, others_wait=True).take()
    assert (outcome.fate, api.status) == ("parked", "started")
    again = Worker(api, leases, tmp_path, attempt=2, others_wait=True)
    _, outcome = again.take(parked=Parked(job_id=JOB, age=10_000.0, left=-1.0))
    assert (outcome.fate, api.status) == ("finished", "finished")
