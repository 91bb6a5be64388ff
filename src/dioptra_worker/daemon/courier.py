"""The outbox of one job: delivers what it produced to the REST API.

Log records and results travel in two lanes, so that the log can say what a result
waits for. The job's status goes last, when both lanes are empty. A job and its
supervisor never wait for the network.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import threading
from collections import Counter
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, Self

from dioptra_worker.api.models import Job, LogRecord
from dioptra_worker.api.patience import FOREVER, persist
from dioptra_worker.daemon.lane import Batch, Lane
from dioptra_worker.errors import (
    LoginRefused,
    NotFound,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)
from dioptra_worker.provenance import signed
from dioptra_worker.records import ArtifactStored, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

log = logging.getLogger("dioptra_worker.courier")

LOG_BATCH = Batch(enough=100, age=1.0, most=500, weight=4 << 20)
"""Records go after a second or at a hundred; at most 500 or 4 Mi characters at once."""
POISON_TRIES = 8
"""Answers of 500 in a row after which log records or a metric are given up."""
OWN_LOGGER = "dioptra_worker"
"""The logger of the worker's own few lines, which are never dropped."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What an outbox holds at most; what it drops beyond is counted and said.

    Attributes:
        records: Log records.
        text: Characters of log records.
        results: Results; beyond these, metrics are dropped.
    """

    records: int = 200_000
    text: int = 64 << 20
    results: int = 200_000


@dataclass(frozen=True)
class MlflowRun:
    """Which MLflow run the job has."""

    run_id: str


Result = Metric | ArtifactStored | MlflowRun

_TICK = dt.timedelta(microseconds=1)


class _LetGo(Exception):
    """Nobody waits for the delivery any more."""


class Api(Protocol):
    """What the courier needs of the REST API; `DioptraApi` has it."""

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

    def log_ends_with(self, job_id: int, records: Sequence[LogRecord]) -> bool:
        """Whether the last records of a job's log are these."""
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


@dataclass(frozen=True, kw_only=True)
class Address:
    """Whom the parcels of one job are for.

    Attributes:
        job_id: The job.
        experiment_id: Its experiment.
    """

    job_id: int
    experiment_id: int


class Courier:
    """One job's outbox; its methods may be called from any thread."""

    def __init__(
        self,
        api: Api,
        address: Address,
        *,
        group_id: Callable[[], int],
        say: Callable[[str, str], None],
        on_gone: Callable[[], None],
        batch: Batch = LOG_BATCH,
        room: Room | None = None,
        pace: float = 1.0,
    ) -> None:
        """Prepare; entering starts the lanes.

        Args:
            api: Where to deliver.
            address: The job.
            group_id: The job's group, asked for once it is known.
            say: Puts a severity and a text into the job's log.
            on_gone: Told when the API no longer knows the job.
            batch: Which log records go out together.
            room: What may wait.
            pace: What pauses between two tries are multiplied with.
        """
        self._api = api
        self._address = address
        self._on_gone = on_gone
        self._closed = threading.Event()
        self._room = room or Room()
        self._pace = pace
        self._dropped: Counter[str] = Counter()
        self._latest = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._lock = threading.Lock()
        records = _LogCarrier(self, api, address)
        self._log = Lane("log", records, batch=batch, pace=pace)
        results = _ResultCarrier(self, api, address, group_id=group_id, say=say)
        self._results = Lane("results", results, batch=Batch(), pace=pace)

    def __enter__(self) -> Self:
        self._log.__enter__()
        self._results.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._results.__exit__(kind, error, trace)
        self._log.__exit__(kind, error, trace)

    @property
    def depth(self) -> int:
        """How many parcels wait."""
        return len(self._log) + len(self._results)

    def put(self, parcel: LogRecord | Result) -> None:
        """Leave a parcel; returns at once."""
        with self._lock:
            if isinstance(parcel, LogRecord):
                self._put_record(parcel)
            elif (
                isinstance(parcel, Metric) and len(self._results) >= self._room.results
            ):
                self._dropped["metrics were dropped here: the outbox was full"] += 1
            else:
                self._results.put(parcel)

    def lost(self, count: int, words: str) -> None:
        """Have it said in the job's log that log records will never arrive."""
        with self._lock:
            self._dropped[f"log records could not be delivered: {words}"] += count

    def finish(self, status: str | None, timeout: float | None = None) -> bool:
        """Deliver everything, and the status last.

        Args:
            status: The job's new status; None leaves it as it is.
            timeout: Seconds to wait at most for each part; None waits however long it
                takes.

        Returns:
            Whether all of it is delivered, or nobody wants it any more.
        """
        if not (self._results.drain(timeout) and self._drain_log(timeout)):
            return False
        if status is None:
            return True
        try:
            persist(
                lambda: self._set_status(status),
                seconds=FOREVER if timeout is None else timeout,
                sleep=self._sleep,
                on_wait=lambda error: log.warning("waiting to deliver: %s", error),
            )
        except NotFound:
            self.forget()
        except (ServiceUnavailable, _LetGo):
            return False
        except ServiceRefused as error:
            log.error("job %d: %s", self._address.job_id, error)
        return True

    def forget(self) -> None:
        """The job was deleted: nobody wants the rest."""
        self._log.clear()
        self._results.clear()
        self._on_gone()

    def let_go(self) -> None:
        """Let whoever waits in `finish` go; what is not delivered by now is not."""
        self._closed.set()
        self._results.let_go()
        self._log.let_go()

    def _drain_log(self, timeout: float | None) -> bool:
        """Deliver the log, and say in it what it lacks."""
        with self._lock:
            self._apologize()
        if not self._log.drain(timeout):
            return False
        with self._lock:  # what was refused just now
            self._apologize()
        return self._log.drain(timeout)

    def _put_record(self, record: LogRecord) -> None:
        room = self._room
        full = len(self._log) >= room.records or self._log.load >= room.text
        if full and record.logger != OWN_LOGGER:
            self._dropped["log records were dropped here: the outbox was full"] += 1
            return
        self._apologize()
        self._send(record)

    def _apologize(self) -> None:
        for words, count in self._dropped.items():
            message = f"{count:,} {words}"
            self._send(
                LogRecord(severity="WARNING", logger=OWN_LOGGER, message=message)
            )
        self._dropped.clear()

    def _send(self, record: LogRecord) -> None:
        """Put a record into its lane with the time, which tells equal ones apart.

        No two of a job have the same: else a batch that was refused would look like
        the one before it, which arrived.
        """
        self._latest = max(dt.datetime.now(dt.UTC), self._latest + _TICK)
        stamp = self._latest.replace(tzinfo=None).isoformat(timespec="microseconds")
        self._log.put(replace(record, message=f"{stamp}Z {record.message}"))

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds * self._pace):
            raise _LetGo

    def _set_status(self, status: str) -> None:
        """Set the status; that it is set already is as good."""
        job_id = self._address.job_id
        with _login_awaited():
            try:
                self._api.set_status(self._address.experiment_id, job_id, status)
            except (NotFound, LoginRefused):
                raise
            except ServiceRefused:
                reached = "queued" if status == "reset" else status
                if self._api.job(job_id).status != reached:
                    raise


@contextlib.contextmanager
def _login_awaited() -> Iterator[None]:
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

    def __init__(self, courier: Courier, api: Api, address: Address) -> None:
        self._courier = courier
        self._api = api
        self._job_id = address.job_id
        self._failures = 0

    def on_wait(self, error: ServiceUnavailable) -> None:
        log.warning("job %d: waiting to deliver: %s", self._job_id, error)

    def on_gone(self) -> None:
        self._courier.forget()

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


class _LogCarrier(_Carrier):
    """Log records: in batches, each exactly once."""

    def deliver(self, parcels: list[LogRecord]) -> None:
        with _login_awaited():
            self._api.post_log(self._job_id, parcels)
        self._failures = 0

    def arrived(self, parcels: list[LogRecord]) -> bool:
        with _login_awaited():
            found = self._api.log_ends_with(self._job_id, parcels)
        if found:
            self._failures = 0
        return found

    def is_poison(self, parcels: list[LogRecord], error: ServiceUnavailable) -> bool:
        del parcels
        return self._fails_here_only(error)

    def weight(self, parcel: LogRecord) -> int:
        return len(parcel.message)

    def on_refusal(self, parcels: list[LogRecord], words: str) -> None:
        log.error("job %d: %d log records: %s", self._job_id, len(parcels), words)
        self._courier.lost(len(parcels), words)


class _ResultCarrier(_Carrier):
    """Everything but the log: one by one; a second delivery is harmless."""

    def __init__(
        self,
        courier: Courier,
        api: Api,
        address: Address,
        *,
        group_id: Callable[[], int],
        say: Callable[[str, str], None],
    ) -> None:
        super().__init__(courier, api, address)
        self._group_id = group_id
        self._say = say

    def deliver(self, parcels: list[Result]) -> None:
        with _login_awaited():
            self._deliver(parcels[0])
        self._failures = 0

    def _deliver(self, parcel: Result) -> None:
        match parcel:
            case Metric(name=name, value=value, step=step):
                self._api.post_metric(self._job_id, name, value, step)
            case MlflowRun(run_id=run_id):
                self._api.set_mlflow_run(self._job_id, run_id)
            case ArtifactStored(name=name):
                self._api.register_artifact(
                    group_id=self._group_id(),
                    job_id=self._job_id,
                    uri=parcel.uri,
                    plugin_snapshot_id=parcel.plugin_snapshot_id,
                    task_id=parcel.task_id,
                    description=signed(
                        f"{name}, an artifact of job {self._job_id}",
                        parcel.worker_run,
                    ),
                )

    def arrived(self, parcels: list[Result]) -> bool:
        del parcels
        return False  # delivering again does no harm

    def is_poison(self, parcels: list[Result], error: ServiceUnavailable) -> bool:
        return isinstance(parcels[0], Metric) and self._fails_here_only(error)

    def weight(self, parcel: Result) -> int:
        del parcel
        return 1

    def on_wait(self, error: ServiceUnavailable) -> None:
        self._say("WARNING", f"waiting to deliver results: {error}")

    def on_refusal(self, parcels: list[Result], words: str) -> None:
        self._say("ERROR", f"{parcels[0]} could not be delivered: {words}")
