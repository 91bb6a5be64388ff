"""What a queue asks of whoever knows its items, and what both senders share."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, TypeVar

from dioptra_worker.common.text.humanize import duration
from dioptra_worker.errors import (
    ForeignAnswer,
    LoginRefused,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dioptra_worker.api.models import Job
    from dioptra_worker.protocol.messages import Log

log = logging.getLogger("dioptra_worker.courier")

P = TypeVar("P")

LATE_ARRIVAL_WINDOW = 2.0
"""Seconds in which a request that was given up may still arrive."""
POISON_TRIES = 8
"""Answers of 500, or of a filter, after which log records or a metric are given up."""
ITEM_REJECTED = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}


class Sender(Protocol[P]):
    """What a queue asks of whoever knows its items."""

    def deliver(self, items: list[P]) -> None:
        """Deliver items that go out together.

        Raises:
            ServiceUnavailable: They are tried again.
            NotFound: Nobody is there any more: all items are thrown away.
            ServiceRefused: These items are given up.
        """
        ...

    def count_delivered(self, items: list[P]) -> int:
        """How many, from the first, of items without an answer have arrived."""
        ...

    def late_window(self, items: list[P], error: ServiceUnavailable) -> float:
        """Seconds in which what failed may still arrive, and would be there twice."""
        ...

    def may_be_poison(self, items: list[P], error: ServiceUnavailable) -> bool:
        """Whether a failure may be these items' fault; `is_poison` finds that out."""
        ...

    def is_poison(self, items: list[P], error: ServiceUnavailable) -> bool:
        """Whether the failure is these items' fault and not the service's."""
        ...

    def is_item_rejected(self, error: ServiceRefused) -> bool:
        """Whether a refusal of many may be the fault of one of them."""
        ...

    def weight(self, item: P) -> int:
        """What an item weighs."""
        ...

    def on_wait(self, error: ServiceUnavailable) -> None:
        """Told once when waiting begins."""
        ...

    def on_back(self, seconds: float) -> None:
        """Told once when waiting has ended, after how long."""
        ...

    def on_refusal(self, items: list[P], words: str) -> None:
        """Told what will never be delivered."""
        ...

    def on_loss(self, count: int) -> None:
        """Told how many items could not be read back from the disk."""
        ...


class Api(Protocol):
    """What an outbox needs of the REST API; `DioptraApi` has it."""

    def ping(self) -> None:
        """See whether the API answers as itself."""
        ...

    def job(self, job_id: int) -> Job:
        """Fetch a job."""
        ...

    def set_status(self, experiment_id: int, job_id: int, status: str) -> None:
        """Move a job to another status."""
        ...

    def mlflow_run(self, job_id: int) -> str | None:
        """Which MLflow run a job has, if it has one."""
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


class ApiSender:
    """What both senders have in common: the API, and when it is to blame."""

    def __init__(self, api: Api, job_id: int) -> None:
        """Prepare.

        Args:
            api: Where to deliver.
            job_id: The job.
        """
        self._api = api
        self._job_id = job_id
        self._failures = 0

    def is_item_rejected(self, error: ServiceRefused) -> bool:
        """Whether a refusal is for what was sent, and not for who sent it."""
        return error.status in ITEM_REJECTED

    def _fails_here_only(self, error: ServiceUnavailable) -> bool:
        """Whether the API has failed often at this while it works otherwise."""
        self._failures += 1
        if self._failures < POISON_TRIES:
            return False
        self._failures = 0
        return LoneTrouble(partial(self._api.job, self._job_id)).is_seen_in(error)


class LoneTrouble:
    """Tells a service that fails at one thing from one that does not work.

    Some answers say so at once, if the service answers a probe. Whatever else goes
    wrong may have been an outage that has just ended: it has to go wrong again after
    the service was seen to work.

    Attributes:
        has_failed: Whether anything went wrong yet.
    """

    def __init__(self, probe: Callable[[], object]) -> None:
        """Prepare.

        Args:
            probe: Asks the service for something else.
        """
        self._probe = probe
        self._worked = False
        self.has_failed = False

    def is_seen_in(self, error: ServiceUnavailable) -> bool:
        """Whether a service fails at what it was asked, and otherwise works.

        Args:
            error: How it failed.
        """
        self.has_failed = True
        worked_before, self._worked = self._worked, self._works()
        return self._worked and (may_be_alone(error) or worked_before)

    def _works(self) -> bool:
        try:
            self._probe()
        except ServiceError:
            return False
        return True


def may_be_alone(error: ServiceUnavailable) -> bool:
    """Whether the API, or a filter before it, may fail at what was asked only."""
    return error.status == HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(
        error, ForeignAnswer
    )


@contextlib.contextmanager
def refused_login_is_unavailable() -> Iterator[None]:
    """Wait for rights as for the service: what was produced is worth more than haste.

    A password that is changed in one place first must not cost a job its result.
    """
    try:
        yield
    except LoginRefused as error:
        raise ServiceUnavailable(
            str(error), service=error.service, status=error.status, detail=error.detail
        ) from error


def log_delivery_waits(job_id: int, what: str, error: ServiceUnavailable) -> None:
    """Say in the worker's own log that something waits for the API."""
    event = {"event": "delivery-waits"}
    log.warning("job %d: waiting to deliver %s: %s", job_id, what, error, extra=event)


def log_delivery_goes_on(job_id: int, what: str, seconds: float) -> str:
    """Say in the worker's own log that it need not wait any more, in which words."""
    words = f"{what}: delivered again after {duration(seconds)}"
    log.info("job %d: %s", job_id, words, extra={"event": "delivery-goes-on"})
    return words
