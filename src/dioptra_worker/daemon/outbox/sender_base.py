"""What the two queues of an outbox have in common: the API, and when it is to blame."""

from __future__ import annotations

import contextlib
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.errors import (
    LoginRefused,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dioptra_worker.api.models import Job
    from dioptra_worker.protocol.messages import Log

log = logging.getLogger("dioptra_worker.courier")

POISON_TRIES = 8
"""Answers of 500 in a row after which log records or a metric are given up."""
ITEM_REJECTED = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}


class Api(Protocol):
    """What an outbox needs of the REST API; `DioptraApi` has it."""

    def job(self, job_id: int) -> Job:
        """Fetch a job."""
        ...

    def set_status(self, experiment_id: int, job_id: int, status: str) -> None:
        """Move a job to another status."""
        ...

    def set_mlflow_run(self, job_id: int, run_id: str) -> None:
        """Say which MLflow run a job has."""
        ...

    def post_log(self, job_id: int, records: Sequence[Log]) -> None:
        """Append records to a job's log."""
        ...

    def log_backwards(self, job_id: int, *, first: int) -> Iterator[list[str]]:
        """The texts of a job's log, from its end, page by page."""
        ...

    def post_metric(
        self, job_id: int, name: str, value: float | str, step: int | None
    ) -> None:
        """Set a metric's value at a step."""
        ...

    def register_artifact(
        self,
        *,
        group_id: int,
        job_id: int,
        uri: str,
        plugin_snapshot_id: int,
        task_id: int,
        description: str,
    ) -> None:
        """Make an artifact known."""
        ...

    def artifact_uris(self, job_id: int) -> set[str]:
        """Where the artifacts lie that a job has made known."""
        ...


class Owner(Protocol):
    """Whom senders tell what becomes of their items; the `Outbox`."""

    def waits(self, queue: str, error: ServiceUnavailable) -> None:
        """A queue waits for the API."""
        ...

    def goes_on(self, queue: str, seconds: float) -> None:
        """A queue need not wait any more."""
        ...

    def lost(self, words: str, count: int = 1) -> None:
        """Something will never be delivered."""
        ...

    def forget(self) -> None:
        """The job was deleted."""
        ...


@contextlib.contextmanager
def login_awaited() -> Iterator[None]:
    """Wait for rights as for the service: what was produced is worth more than haste.

    A password that is changed in one place first must not cost a job its result.
    """
    try:
        yield
    except LoginRefused as error:
        raise ServiceUnavailable(
            str(error), service=error.service, status=error.status, detail=error.detail
        ) from error


class SenderBase:
    """What both queues have in common."""

    name: str

    def __init__(self, owner: Owner, api: Api, job_id: int) -> None:
        self._owner = owner
        self._api = api
        self._job_id = job_id
        self._failures = 0

    def on_wait(self, error: ServiceUnavailable) -> None:
        """It waits for the API."""
        self._owner.waits(self.name, error)

    def on_back(self, seconds: float) -> None:
        """It need not wait any more."""
        self._owner.goes_on(self.name, seconds)

    def on_gone(self) -> None:
        """The job was deleted."""
        self._owner.forget()

    def on_loss(self, count: int) -> None:
        """Some could not be read back."""
        self._owner.lost(f"{self.name} could not be read back from the disk", count)

    def is_item_rejected(self, error: ServiceRefused) -> bool:
        """Whether a refusal is for what was sent, and not for who sent it."""
        return error.status in ITEM_REJECTED

    def _fails_here_only(self, error: ServiceUnavailable) -> bool:
        """Whether the API has failed often at this while it works otherwise."""
        if error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
            return False
        self._failures += 1
        if self._failures < POISON_TRIES:
            return False
        self._failures = 0
        try:
            self._api.job(self._job_id)
        except ServiceError:
            return False
        return True
