"""Making a job ours, against the simulated API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pytest
from tests.unit.daemon.outbox.simulated_api import (
    EXPERIMENT,
    JOB,
    LOST_ANSWER,
    REFUSED,
    Fault,
    Script,
    SimulatedApi,
)

from dioptra_worker.broker.records import PendingStatus
from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.common.stop import LEASE_LOST, JobStop, Stopped
from dioptra_worker.daemon.job.claim import Claim, claim
from dioptra_worker.errors import LoginRefused, ServiceUnavailable
from dioptra_worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class Hasty(JobStop):
    """No pauses, and no threads for calls that do not hang."""

    def pause(self, seconds: float, *, beyond: float = 0.0) -> None:
        """Wait for nothing."""

    def call(self, call: Callable[[], T], *, beyond: float = 0.0) -> T:
        """Call it here."""
        del beyond
        return call()


@dataclass
class Book:
    """Leases with at most one pending status."""

    held: PendingStatus | None = None

    def pending_status(self, job_id: int) -> PendingStatus | None:
        """What is pending."""
        assert job_id == JOB
        return self.held


@dataclass
class Case:
    """What claiming starts from, and what it did."""

    api: SimulatedApi
    attempt: int = 1
    policy: Literal["requeue", "fail"] = "requeue"
    most: int = 2
    book: Book = field(default_factory=Book)
    closed: list[tuple[str, str]] = field(default_factory=list)
    stop: JobStop = field(default_factory=Hasty)

    def claim(self) -> Claim:
        """Claim the job, without pauses."""
        environment: dict[str, Any] = {
            "username": "worker",
            "password": "secret",
            "api_url": "http://api.test",
            "redis_url": "redis://redis.test",
            "mlflow_tracking_uri": "http://mlflow.test",
            "MLFLOW_S3_ENDPOINT_URL": "http://s3.test",
            "on_interruption": self.policy,
            "max_attempts": self.most,
        }
        return claim(
            JobRequest(
                job_id=JOB,
                experiment_id=EXPERIMENT,
                time_limit=None,
                worker="me",
                attempt=self.attempt,
            ),
            api=self.api,
            leases=self.book,
            settings=Settings(**environment),
            close_run=lambda run_id, status: self.closed.append((run_id, status)),
            stop=self.stop,
        )


def _pending(status: str, reason: str = "") -> Book:
    return Book(
        PendingStatus(
            job_id=JOB, experiment_id=EXPERIMENT, status=status, reason=reason
        )
    )


def _names(api: SimulatedApi) -> list[str]:
    return [status for status, _ in api.statuses]


def test_ours() -> None:
    """A queued job becomes ours with one request."""
    case = Case(SimulatedApi(status="queued"))
    assert case.claim() == Claim(kind="ours")
    assert case.api.status == "started"
    assert case.api.requests == ["PUT started"]


def test_pending_of_an_earlier_run() -> None:
    """A queued job is ours whatever is pending of a run before it was reset."""
    case = Case(SimulatedApi(status="queued"), book=_pending("finished"))
    assert case.claim() == Claim(kind="ours")


@pytest.mark.parametrize("policy", ["requeue", "fail"])
@pytest.mark.parametrize("fault", [LOST_ANSWER, Fault(True, 500)])
def test_lost_answer(policy: Literal["requeue", "fail"], fault: Fault) -> None:
    """A job that our own request has started, unknown to us, is ours: nobody ran it."""
    api = SimulatedApi(status="queued", fault=Script(PUT_started=[fault]))
    case = Case(api, policy=policy)
    assert case.claim() == Claim(kind="ours")
    assert _names(api) == ["started"]
    assert case.closed == []


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_over(status: str) -> None:
    """A job that has ended is not ours, and its status is told."""
    claimed = Case(SimulatedApi(status=status)).claim()
    assert (claimed.kind, claimed.status) == ("over", status)


@pytest.mark.parametrize("status", ["queued", "started"])
def test_gone(status: str) -> None:
    """A deleted job is not ours."""
    case = Case(SimulatedApi(status=status, deleted=True))
    assert case.claim().kind == "gone"


@pytest.mark.parametrize(
    "when", ["GET job", "GET mlflowRun", "PUT reset", "PUT started"]
)
def test_gone_meanwhile(when: str) -> None:
    """A job that is deleted while it is being claimed is not ours."""
    api = SimulatedApi(status="started", run_id="abc")

    def delete(what: str) -> None:
        if what == when and len(api.requests) > 1:
            api.deleted = True

    api.fault = delete
    assert Case(api, attempt=2).claim().kind == "gone"


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ("failed", "it raised", "it raised"),
        (
            "finished",
            "",
            "its worker was lost before it could deliver that the job finished",
        ),
    ],
)
def test_pending(status: str, reason: str, words: str) -> None:
    """The end that a lost worker has left is told, and the job not run again."""
    case = Case(
        SimulatedApi(status="started", run_id="abc"),
        attempt=2,
        book=_pending(status, reason),
    )
    assert case.claim() == Claim(
        kind="lost", status=status, words=words, pending=case.book.held
    )
    assert case.api.status == "started"
    assert case.closed == []


def test_requeued() -> None:
    """A job whose worker was lost is started anew, and its MLflow run closed."""
    case = Case(SimulatedApi(status="started", run_id="abc"), attempt=2)
    claimed = case.claim()
    assert claimed.kind == "ours"
    assert "this is attempt 2 of at most 2" in claimed.words
    assert _names(case.api) == ["queued", "started"]
    assert case.api.run_id is None
    assert case.closed == [("abc", "KILLED")]


def test_started_by_a_worker_without_a_ledger() -> None:
    """A job that the platform's own worker has lost under way is started anew."""
    case = Case(SimulatedApi(status="started", run_id="abc"), attempt=1)
    assert case.claim().kind == "ours"
    assert case.api.run_id is None
    assert case.closed == [("abc", "KILLED")]


@pytest.mark.parametrize("run_id", ["abc", None])
def test_lost_too_often(run_id: str | None) -> None:
    """A job that loses its workers again and again is failed, with the number."""
    case = Case(SimulatedApi(status="started", run_id=run_id), attempt=3)
    claimed = case.claim()
    assert (claimed.kind, claimed.status) == ("lost", "failed")
    assert "its worker was lost 2 times" in claimed.words
    assert case.closed == ([("abc", "FAILED")] if run_id else [])
    assert case.api.status == "started"  # told by the outbox, after the log


@pytest.mark.parametrize("attempt", [1, 2])
def test_fail_policy(attempt: int) -> None:
    """By policy a job whose worker was lost is failed at once."""
    case = Case(
        SimulatedApi(status="started", run_id="abc"), attempt=attempt, policy="fail"
    )
    claimed = case.claim()
    assert (claimed.kind, claimed.status) == ("lost", "failed")
    assert claimed.words.startswith("its worker was lost while the job ran")
    assert case.closed == [("abc", "FAILED")]


@pytest.mark.parametrize(
    "name", ["PUT_started", "GET_job", "GET_mlflowRun", "PUT_reset"]
)
@pytest.mark.parametrize("fault", [REFUSED, LOST_ANSWER, Fault(status=503)])
def test_requeued_with_faults(name: str, fault: Fault) -> None:
    """A failing request, before or after its work, does not change the outcome."""
    faults: Sequence[Fault | None] = [fault, None, fault]
    api = SimulatedApi(status="started", run_id="abc", fault=Script(**{name: faults}))
    assert Case(api, attempt=2).claim().kind == "ours"
    assert api.status == "started"
    assert api.run_id is None


def test_second_start_with_a_lost_answer() -> None:
    """After a reset, a start whose answer is lost is a start."""
    api = SimulatedApi(
        status="started",
        run_id="abc",
        fault=Script(PUT_started=[None, LOST_ANSWER]),
    )
    assert Case(api, attempt=2).claim().kind == "ours"
    assert _names(api) == ["queued", "started"]


@pytest.mark.parametrize("status", ["queued", "started"])
def test_away(status: str) -> None:
    """While the API stays away nothing is decided."""
    api = SimulatedApi(status=status, fault=lambda _: REFUSED)
    with pytest.raises(ServiceUnavailable):
        Case(api, attempt=2).claim()
    assert api.status == status


def test_lost_while_it_is_claimed() -> None:
    """A job that another worker may have by now is not claimed a second time."""
    stop = Hasty()

    def lost_meanwhile(what: str) -> Fault | None:
        if what != "PUT started" or stop.superseded:
            return None
        stop.request(LEASE_LOST)
        return REFUSED

    api = SimulatedApi(status="queued", fault=lost_meanwhile)
    with pytest.raises(Stopped):
        Case(api, stop=stop).claim()
    assert api.requests == ["PUT started"]


def test_not_let_in() -> None:
    """A refused login says nothing about the job: it can be put back."""
    refused = LoginRefused("who are you?", service="REST API", status=401)
    api = SimulatedApi(status="queued", fault=lambda _: refused)
    with pytest.raises(ServiceUnavailable, match="who are you"):
        Case(api).claim()
