"""What the two lanes of an outbox carry: log records in batches, results one by one."""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.daemon.carrier import SETTLE
from dioptra_worker.daemon.parcels import OWN_LOGGER, Result, describe
from dioptra_worker.errors import (
    LoginRefused,
    NotFound,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)
from dioptra_worker.provenance import signed
from dioptra_worker.records import ArtifactStored, Metric, RunStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dioptra_worker.api.models import Job, LogRecord

log = logging.getLogger("dioptra_worker.courier")

POISON_TRIES = 8
"""Answers of 500 in a row after which log records or a metric are given up."""
TRIES_OF_A_PART = 2
"""Answers of 500 in a row for a part of what was found to be poisonous."""
DESCRIBED = 20
"""Refused log records of a job that are described; the others are counted."""
FOREIGN = 100
"""Records of others that a job's log may have got since ours."""
ONES_FAULT = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
SILENT_REGISTRATION = 4.5
"""How much longer an artifact's registration may take than we wait for the answer.

While MLflow is away the API tries it for four minutes, and we wait one by default.
"""
SLOW_REGISTRATION = 5.0
"""Seconds of an artifact's registration after which the job's log says what it is."""
NOT_STORED = "is not part of MLFlow run"
"""What the API says, with 500, of an artifact that it does not find in its store."""
SURELY_NOT = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
"""Answers after which a request does not arrive any more."""


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

    def post_log(self, job_id: int, records: Sequence[LogRecord]) -> None:
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
    """Whom carriers tell what becomes of their parcels; the `Courier`."""

    def waits(self, lane: str, error: ServiceUnavailable) -> None:
        """A lane waits for the API."""
        ...

    def goes_on(self, lane: str, seconds: float) -> None:
        """A lane need not wait any more."""
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


class _Carrier:
    """What both lanes have in common."""

    name: str

    def __init__(self, owner: Owner, api: Api, job_id: int) -> None:
        self._owner = owner
        self._api = api
        self._job_id = job_id
        self._failures = 0

    def on_wait(self, error: ServiceUnavailable) -> None:
        self._owner.waits(self.name, error)

    def on_back(self, seconds: float) -> None:
        self._owner.goes_on(self.name, seconds)

    def on_gone(self) -> None:
        self._owner.forget()

    def on_loss(self, count: int) -> None:
        self._owner.lost(f"{self.name} could not be read back from the disk", count)

    def is_ones_fault(self, error: ServiceRefused) -> bool:
        return error.status in ONES_FAULT

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


class LogCarrier(_Carrier):
    """Log records: in batches, each exactly once."""

    name = "log records"

    def __init__(self, owner: Owner, api: Api, job_id: int, *, mark: str = "") -> None:
        super().__init__(owner, api, job_id)
        self._mark = mark
        self._described = 0

    def deliver(self, parcels: list[LogRecord]) -> None:
        """Deliver, or raise why not."""
        with login_awaited():
            self._api.post_log(self._job_id, [self._marked(one) for one in parcels])
        self._failures = 0

    def arrived(self, parcels: list[LogRecord]) -> int:
        """How many are in the log: its records are told apart by their times."""
        stamps = [_stamp(record.message) for record in parcels]
        with login_awaited():
            there = self._stamps_since(stamps[0], len(parcels) + FOREIGN)
        found = 0
        while found < len(stamps) and stamps[found] in there:
            found += 1
        if found:
            self._failures = 0
        return found

    def _stamps_since(self, stamp: str, count: int) -> set[str]:
        """The times in the log, back to where all are earlier than one."""
        there: set[str] = set()
        for texts in self._api.log_backwards(self._job_id, first=count):
            page = {_stamp(text) for text in texts}
            there |= page
            if stamp in there or max(page) < stamp:
                break
        return there

    def weight(self, parcel: LogRecord) -> int:
        """What a parcel weighs."""
        return len(parcel.message)

    def lateness(self, parcels: list[LogRecord], error: ServiceUnavailable) -> float:
        """Seconds in which what failed may still arrive."""
        del parcels
        return 0.0 if error.status in SURELY_NOT else SETTLE

    def is_poison(self, parcels: list[LogRecord], error: ServiceUnavailable) -> bool:
        """Whether these parcels are to blame, and not the API."""
        poisonous = self._fails_here_only(error)
        if poisonous and len(parcels) > 1:
            self._failures = POISON_TRIES - TRIES_OF_A_PART
        return poisonous

    def _marked(self, record: LogRecord) -> LogRecord:
        stamp, _, text = record.message.partition(" ")
        return replace(record, message=f"{stamp} {self._mark}{text}")

    def on_refusal(self, parcels: list[LogRecord], words: str) -> None:
        """Have it said what will never be delivered."""
        log.error(
            "job %d: %d log records: %s",
            self._job_id,
            len(parcels),
            words,
            extra={"event": "refused"},
        )
        for record in parcels:
            if record.logger == OWN_LOGGER:  # which may be what was said of another
                continue
            self._described += 1
            if self._described > DESCRIBED:
                self._owner.lost("more log records could not be delivered")
                continue
            begins = ascii(record.message.partition(" ")[2][:60])
            self._owner.lost(
                f"log record of {record.logger!r} could not be delivered: {words}"
                f" (it begins {begins})"
            )


class ResultCarrier(_Carrier):
    """Everything but the log: one by one; a second delivery is harmless.

    What the API does not find may be the job, but also what a result refers to, such
    as an MLflow run that somebody has deleted.
    """

    name = "results"

    def __init__(
        self,
        owner: Owner,
        api: Api,
        job_id: int,
        *,
        group_id: Callable[[], int],
        say: Callable[[str, str], None],
        slow: float = SLOW_REGISTRATION,
    ) -> None:
        super().__init__(owner, api, job_id)
        self._group_id = group_id
        self._say = say
        self._slow = slow

    def deliver(self, parcels: list[Result]) -> None:
        """Deliver, or raise why not."""
        with login_awaited():
            try:
                self._deliver(parcels[0])
            except NotFound as error:
                self._api.job(self._job_id)  # `NotFound` if it is the job that is gone
                raise ServiceRefused(
                    str(error),
                    service=error.service,
                    status=error.status,
                    detail=error.detail,
                ) from error
        self._failures = 0

    def _deliver(self, parcel: Result) -> None:
        match parcel:
            case Metric(name=name, value=value, step=step):
                self._api.post_metric(self._job_id, name, value, step)
            case RunStarted(run_id=run_id):
                self._api.set_mlflow_run(self._job_id, run_id)
            case ArtifactStored():
                with self._told_when_slow(parcel):
                    self._register(parcel)

    def _register(self, parcel: ArtifactStored) -> None:
        self._api.register_artifact(
            group_id=self._group_id() or self._api.job(self._job_id).group_id,
            job_id=self._job_id,
            uri=parcel.uri,
            plugin_snapshot_id=parcel.plugin_snapshot_id,
            task_id=parcel.task_id,
            description=signed(
                f"{parcel.name}, an artifact of job {self._job_id}", parcel.worker_run
            ),
        )

    @contextlib.contextmanager
    def _told_when_slow(self, parcel: ArtifactStored) -> Iterator[None]:
        """Have the job's log say what it waits for: the API asks MLflow itself."""
        words = (
            f"waiting for the REST API to register {describe(parcel)}: it looks the"
            " artifact up in MLflow, which may be slow or away"
        )
        timer = threading.Timer(self._slow, self._say, ["INFO", words])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def arrived(self, parcels: list[Result]) -> int:
        """How many have arrived: of no matter but for artifacts.

        The API knows an artifact again, but not one that it is just registering.
        """
        match parcels[0]:
            case ArtifactStored(uri=uri):
                with login_awaited():
                    return int(uri in self._api.artifact_uris(self._job_id))
        return 0  # delivering again does no harm

    def weight(self, parcel: Result) -> int:
        """What a parcel weighs."""
        del parcel
        return 1

    def lateness(self, parcels: list[Result], error: ServiceUnavailable) -> float:
        """Seconds in which what failed may still arrive."""
        if not isinstance(parcels[0], ArtifactStored) or error.status is not None:
            return 0.0
        return max(SETTLE, error.silence * SILENT_REGISTRATION)

    def is_poison(self, parcels: list[Result], error: ServiceUnavailable) -> bool:
        """Whether these parcels are to blame, and not the API."""
        ones_own = isinstance(parcels[0], Metric) or NOT_STORED in str(error)
        return ones_own and self._fails_here_only(error)

    def on_refusal(self, parcels: list[Result], words: str) -> None:
        """Have it said what will never be delivered."""
        self._say("ERROR", f"{describe(parcels[0])} could not be delivered: {words}")


def _stamp(text: str) -> str:
    return text.partition(" ")[0]
