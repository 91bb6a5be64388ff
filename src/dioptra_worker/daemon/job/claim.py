"""Makes a job ours in the API, also one whose last worker was lost under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from dioptra_worker.common.network.backoff import retry_until_available
from dioptra_worker.common.stop import Stopped
from dioptra_worker.daemon.job.lost_worker import end_of, next_attempt
from dioptra_worker.errors import (
    LoginRefused,
    NotFound,
    ServiceRefused,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.api.models import Job
    from dioptra_worker.broker.records import PendingStatus
    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.settings import Settings

T = TypeVar("T")

API_TIMEOUT = 5.0
"""Seconds that an API which is away may take to be back before the job is put back."""

Kind = Literal["ours", "over", "gone", "lost"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Whether a job is ours.

    Attributes:
        kind: ``ours``; ``over`` when it has ended; ``gone`` when it was deleted;
            ``lost`` when it is ours only to be told its end: its workers were lost
            too often, or one was lost before it could deliver the end.
        status: The job's status, where it is over; what it has to become, where lost.
        words: For the job's log.
        run_id: The MLflow run of the attempt that counts, where lost; empty if it had
            none, or nobody knows.
        pending: The end that one of its workers could not deliver, where lost.
    """

    kind: Kind
    status: str = ""
    words: str = ""
    run_id: str = ""
    pending: PendingStatus | None = None


class Api(Protocol):
    """What a claim needs of the REST API; `DioptraApi` has it."""

    def job(self, job_id: int) -> Job:
        """Fetch a job."""
        ...

    def mlflow_run(self, job_id: int) -> str | None:
        """The MLflow run of a job, if it has one."""
        ...

    def set_status(self, experiment_id: int, job_id: int, status: str) -> None:
        """Move a job to another status."""
        ...


class PendingStatuses(Protocol):
    """What a claim needs of the leases."""

    def pending_status(self, job_id: int) -> PendingStatus | None:
        """What the API has yet to be told of a job."""
        ...


def claim(
    request: JobRequest,
    *,
    api: Api,
    leases: PendingStatuses,
    settings: Settings,
    close_run: Callable[[str, str], object],
    stop: JobStop,
) -> Claim:
    """Set a job to ``started``. Its lease must be ours, so nobody else runs it.

    Args:
        request: The job.
        api: Where to set it.
        leases: Knows about earlier attempts.
        settings: What to do with a job whose worker was lost.
        close_run: Closes the MLflow run of an earlier attempt with a status.
        stop: How long it may take.

    Returns:
        Whether it is ours.

    Raises:
        ServiceUnavailable: If the API or Redis is away, or lets nobody in; the job
            can be put back.
        Stopped: If the worker shuts down; it can be put back, too.
    """
    claiming = _Claiming(request, api, leases, settings, close_run, stop)
    try:
        return claiming.claim()
    except NotFound:
        return Claim(kind="gone", words="it was deleted before it could start")
    except LoginRefused as error:
        raise ServiceUnavailable(
            str(error), service=error.service, status=error.status, detail=error.detail
        ) from error


@dataclass(frozen=True)
class _Claiming:
    request: JobRequest
    api: Api
    leases: PendingStatuses
    settings: Settings
    close_run: Callable[[str, str], object]
    stop: JobStop

    def claim(self) -> Claim:
        refusal = self._set("started")
        if refusal is None:
            return Claim(kind="ours")
        status = self._status()
        if status != "started":
            return Claim(kind="over", status=status, words=str(refusal))
        return self._interrupted()

    def _interrupted(self) -> Claim:
        """Take over a job that is started and that nobody runs."""
        request = self.request
        run_id: str | None
        pending = self.stop.call(lambda: self.leases.pending_status(request.job_id))
        if pending is not None:
            decided, run_id = end_of(pending), pending.run_id
        else:
            run_id = self._retry(lambda: self.api.mlflow_run(request.job_id))
            decided = next_attempt(
                request.attempt, has_run=run_id is not None, settings=self.settings
            )
            if run_id is not None and decided.run_status is not None:
                self.close_run(run_id, decided.run_status)
        if decided.status:
            return Claim(
                kind="lost",
                status=decided.status,
                words=decided.words,
                run_id=run_id or "",
                pending=pending,
            )
        if not decided.words:
            return Claim(kind="ours")
        for status, reached in (("reset", "queued"), ("started", "started")):
            refusal = self._set(status)
            if refusal is not None and (now := self._status()) != reached:
                return Claim(kind="over", status=now, words=str(refusal))
        return Claim(kind="ours", words=decided.words)

    def _set(self, status: str) -> ServiceRefused | None:
        """Set the status; what the API says if it refuses."""
        try:
            self._retry(lambda: self._put(status))
        except (NotFound, LoginRefused):
            raise
        except ServiceRefused as error:
            return error
        return None

    def _put(self, status: str) -> None:
        if self.stop.superseded is not None:  # perhaps since the last try
            raise Stopped
        request = self.request
        self.api.set_status(request.experiment_id, request.job_id, status)

    def _status(self) -> str:
        return self._retry(lambda: self.api.job(self.request.job_id).status)

    def _retry(self, call: Callable[[], T]) -> T:
        return retry_until_available(
            lambda: self.stop.call(call), seconds=API_TIMEOUT, sleep=self.stop.pause
        )
