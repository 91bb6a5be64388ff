"""Delivers one job's results to the REST API: in order, patiently, never in the way.

Everything that a job produces for the API enters the outbox as a parcel and leaves it
when the API has acknowledged it. A thread of its own delivers, so that the job and
its supervisor never wait for the network.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from dioptra_worker.api.models import LogRecord
from dioptra_worker.api.patience import pauses
from dioptra_worker.errors import NotFound, ServiceRefused, ServiceUnavailable
from dioptra_worker.records import ArtifactStored, Metric

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dioptra_worker.api.client import DioptraApi

log = logging.getLogger("dioptra_worker.courier")

BATCH = 100
"""Records after which a batch is sent without waiting for more."""
LARGEST_BATCH = 500
"""Records that one request carries when many wait."""
BATCH_AGE = 1.0
"""Seconds that a record waits for company."""
LARGEST_REQUEST = 4 << 20
"""Characters that one request carries, unless a single record has more."""
MOST_RECORDS = 200_000
"""Records that wait at most; what is dropped beyond is counted and said."""


@dataclass(frozen=True)
class MlflowRun:
    """Which MLflow run the job has."""

    run_id: str


@dataclass(frozen=True)
class Status:
    """The job's new status."""

    status: str


Parcel = LogRecord | Metric | ArtifactStored | MlflowRun | Status


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
    """The outbox of one job and the thread that empties it."""

    def __init__(
        self,
        api: DioptraApi,
        address: Address,
        *,
        group_id: Callable[[], int],
        on_gone: Callable[[], None],
    ) -> None:
        """Prepare; the thread starts on entering.

        Args:
            api: Where to deliver.
            address: The job.
            group_id: The job's group, asked for once it is known.
            on_gone: Told when the API no longer knows the job.
        """
        self._api = api
        self._address = address
        self._group_id = group_id
        self._on_gone = on_gone
        self._parcels: deque[tuple[float, Parcel]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._hurry = False
        self._gone = False
        self._busy = False
        self._dropped = 0
        self._refused: list[str] = []
        self._thread = threading.Thread(target=self._work, name="dioptra-courier")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; what is not delivered by now stays in the outbox."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    @property
    def refused(self) -> list[str]:
        """What the API refused for good, in words."""
        return list(self._refused)

    def put(self, parcel: Parcel) -> None:
        """Leave a parcel; returns at once."""
        with self._changed:
            if self._gone:
                return
            if len(self._parcels) >= MOST_RECORDS and isinstance(parcel, LogRecord):
                self._dropped += 1
                return
            if self._dropped and len(self._parcels) < MOST_RECORDS:
                self._parcels.append((time.monotonic(), self._apology()))
            self._parcels.append((time.monotonic(), parcel))
            if len(self._parcels) in (1, BATCH) or not isinstance(parcel, LogRecord):
                self._changed.notify_all()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until everything is delivered.

        Args:
            timeout: Seconds to wait at most; None waits however long it takes.

        Returns:
            Whether the outbox is empty.
        """
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(
                lambda: not self._parcels and not self._busy, timeout
            )

    def _apology(self) -> LogRecord:
        count, self._dropped = self._dropped, 0
        return LogRecord(
            severity="WARNING",
            logger="dioptra_worker.courier",
            message=f"{count:,} log records were dropped here: the outbox was full",
        )

    # -- the thread ------------------------------------------------------------

    def _work(self) -> None:
        tries = pauses()
        waiting = False
        while (parcels := self._next()) is not None:
            try:
                self._deliver(parcels)
            except ServiceUnavailable as error:
                if not waiting:
                    log.warning("waiting to deliver: %s", error)
                waiting = True
                self._give_back(parcels)
                self._rest(max(next(tries), error.retry_after or 0.0))
                continue
            except NotFound:
                self._forget()
            except ServiceRefused as error:
                log.error("job %d: %s", self._address.job_id, error)
                self._refused.append(str(error))
            except Exception:
                log.exception("job %d: a parcel is lost", self._address.job_id)
            if waiting:
                log.info("delivering again")
                waiting = False
            tries = pauses()
            self._done()

    def _next(self) -> list[Parcel] | None:
        """Take what goes out together; None when there is nothing more to do."""
        with self._changed:
            while True:
                if self._closing:
                    return None
                wait = self._wait_for_company()
                if wait is not None and wait <= 0:
                    break
                self._changed.wait(wait)
            self._busy = True
            return self._take()

    def _wait_for_company(self) -> float | None:
        """Seconds until the head of the outbox must go; None when it is empty."""
        if not self._parcels:
            return None
        born, _ = self._parcels[0]
        alone = all(isinstance(p, LogRecord) for _, p in self._parcels) and (
            len(self._parcels) < BATCH
        )
        if self._hurry or not alone:
            return 0.0
        return born + BATCH_AGE - time.monotonic()

    def _take(self) -> list[Parcel]:
        _, first = self._parcels.popleft()
        parcels = [first]
        if isinstance(first, LogRecord):
            size = len(first.message)
            while self._parcels and len(parcels) < LARGEST_BATCH:
                _, parcel = self._parcels[0]
                if not isinstance(parcel, LogRecord):
                    break
                size += len(parcel.message)
                if size > LARGEST_REQUEST:
                    break
                parcels.append(parcel)
                self._parcels.popleft()
        return parcels

    def _give_back(self, parcels: list[Parcel]) -> None:
        with self._changed:
            now = time.monotonic()
            self._parcels.extendleft((now, parcel) for parcel in reversed(parcels))
            self._busy = False

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)

    def _done(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _forget(self) -> None:
        """The job was deleted: nobody wants the rest."""
        with self._changed:
            self._gone = True
            self._parcels.clear()
        self._on_gone()

    def _deliver(self, parcels: list[Parcel]) -> None:
        job_id = self._address.job_id
        match parcels[0]:
            case LogRecord():
                records = [p for p in parcels if isinstance(p, LogRecord)]
                self._api.post_log(job_id, records)
            case Metric(name=name, value=value, step=step):
                self._api.post_metric(job_id, name, value, step)
            case MlflowRun(run_id=run_id):
                self._api.set_mlflow_run(job_id, run_id)
            case ArtifactStored() as artifact:
                self._api.register_artifact(
                    group_id=self._group_id(),
                    job_id=job_id,
                    uri=artifact.uri,
                    plugin_snapshot_id=artifact.plugin_snapshot_id,
                    task_id=artifact.task_id,
                    description=f"{artifact.name}, an artifact of job {job_id}",
                )
            case Status(status=status):
                self._set_status(status)

    def _set_status(self, status: str) -> None:
        """Set the status; that it is set already is as good."""
        try:
            self._api.set_status(
                self._address.experiment_id, self._address.job_id, status
            )
        except NotFound:
            raise
        except ServiceRefused:
            reached = "queued" if status == "reset" else status
            if self._api.job(self._address.job_id).status != reached:
                raise
