"""The outbox of one job: delivers what it produced to the REST API.

Log records and results travel in two queues, so that the log can say what a result
waits for. The job's status goes last, when both queues are empty. A job and its
supervisor never wait for the network or the disk. What is not delivered is in the
job's journal, too, if it has one: another process may have to deliver it.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Self

from dioptra_worker.common.humanize import duration
from dioptra_worker.common.retry import FOREVER, retry_until_available
from dioptra_worker.daemon.outbox.delivery_queue import Batch, DeliveryQueue
from dioptra_worker.daemon.outbox.items import OWN_LOGGER, Result
from dioptra_worker.daemon.outbox.log_sender import LogSender
from dioptra_worker.daemon.outbox.result_sender import ResultSender
from dioptra_worker.daemon.outbox.sender_base import login_awaited
from dioptra_worker.errors import (
    LoginRefused,
    NotFound,
    ServiceRefused,
    ServiceUnavailable,
)
from dioptra_worker.protocol.messages import Log, Metric

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dioptra_worker.daemon.outbox.buffer import Capacity
    from dioptra_worker.daemon.outbox.journal import Journal
    from dioptra_worker.daemon.outbox.sender_base import Api
    from dioptra_worker.protocol.messages import Severity

log = logging.getLogger("dioptra_worker.courier")

LOG_BATCH = Batch(enough=100, age=1.0, most=500, weight=4 << 20)
"""Records go after a second or at a hundred; at most 500 or 4 Mi characters at once."""
NOTABLE = 5.0
"""Seconds without the API after which a job's log says that its lines came late."""

_TICK = dt.timedelta(microseconds=1)


class _Abandoned(Exception):
    """Nobody waits for the delivery any more."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Whom the items of one job are for.

    Attributes:
        job_id: The job.
        experiment_id: Its experiment.
    """

    job_id: int
    experiment_id: int


class Outbox:
    """One job's outbox; its methods may be called from any thread."""

    def __init__(
        self,
        api: Api,
        address: Address,
        *,
        group_id: Callable[[], int],
        say: Callable[[Severity, str], None],
        on_gone: Callable[[], None],
        journal: Journal | None = None,
        mark: str = "",
        batch: Batch = LOG_BATCH,
        capacity: Capacity | None = None,
        pace: float = 1.0,
        notable: float = NOTABLE,
    ) -> None:
        """Prepare; entering starts the queues.

        Args:
            api: Where to deliver.
            address: The job.
            group_id: The job's group, asked for once it is known; 0 is unknown.
            say: Puts a severity and a text into the job's log.
            on_gone: Told when the API no longer knows the job.
            journal: Keeps items on disk; what it has is delivered first.
            mark: What each line of the log begins with.
            batch: Which log records go out together.
            capacity: What may wait in each queue; beyond it, items are dropped, counted
                and said.
            pace: What pauses between two tries are multiplied with.
            notable: Seconds without the API after which the job's log says that its
                lines came late.
        """
        self._api = api
        self._address = address
        self._say = say
        self._notable = notable
        self._on_gone = on_gone
        self._closed = threading.Event()
        self._pace = pace
        self._dropped: Counter[str] = Counter()
        self._latest = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._lock = threading.Lock()
        self._closing = False
        self._may_say_late = True
        self._log = DeliveryQueue(
            "log",
            LogSender(self, api, address.job_id, mark=mark),
            batch=batch,
            capacity=capacity,
            wal=journal.log if journal else None,
            pace=pace,
        )
        self._results = DeliveryQueue(
            "results",
            ResultSender(self, api, address.job_id, group_id=group_id, say=say),
            batch=Batch(),
            capacity=capacity,
            wal=journal.results if journal else None,
            pace=pace,
        )

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
        """How many items wait."""
        return len(self._log) + len(self._results)

    def put(self, item: Log | Result) -> None:
        """Leave an item; returns at once."""
        with self._lock:
            if isinstance(item, Log):
                self._put_record(item)
            elif isinstance(item, Metric) and not self._results.has_capacity:
                self._dropped["metrics were dropped here: the outbox was full"] += 1
            else:
                self._results.put(item)

    # -- from the senders -----------------------------------------------------

    def lost(self, words: str, count: int = 1) -> None:
        """Have it said in the job's log that something will never arrive."""
        with self._lock:
            self._dropped[words] += count

    def waits(self, queue: str, error: ServiceUnavailable) -> None:
        """A queue waits for the API: say so, in the job's log where that can help."""
        if queue == ResultSender.name:
            self._say("WARNING", f"waiting to deliver results: {error}")
            return
        log.warning(
            "job %d: waiting to deliver %s: %s",
            self._address.job_id,
            queue,
            error,
            extra={"event": "delivery-waits"},
        )

    def goes_on(self, queue: str, seconds: float) -> None:
        """A queue need not wait any more.

        A log that says each time that it came late might never come to its end.
        """
        if queue == ResultSender.name:
            self._say("INFO", f"results are delivered again after {duration(seconds)}")
            return
        words = self._told(queue, seconds)
        if seconds >= self._notable and self._may_say_late:
            self._may_say_late = not self._closing
            self._say("INFO", words)

    def _told(self, what: str, seconds: float) -> str:
        words = f"{what}: delivered again after {duration(seconds)}"
        event = {"event": "delivery-goes-on"}
        log.info("job %d: %s", self._address.job_id, words, extra=event)
        return words

    def finish(self, status: str | None, timeout: float | None = None) -> bool:
        """Deliver everything, and the status last.

        Args:
            status: The job's new status; None leaves it as it is.
            timeout: Seconds to wait at most for each part; None waits however long it
                takes.

        Returns:
            Whether all of it is delivered, or nobody wants it any more.
        """
        self._closing = True
        if not (self._results.drain(timeout) and self._drain_log(timeout)):
            return False
        if status is None:
            return True
        try:
            retry_until_available(
                lambda: self._set_status(status),
                seconds=FOREVER if timeout is None else timeout,
                sleep=self._sleep,
                on_wait=partial(self.waits, "status"),
                on_back=lambda _, seconds: self._told("status", seconds),
            )
        except NotFound:
            self.forget()
        except (ServiceUnavailable, _Abandoned):
            return False
        except ServiceRefused as error:
            log.error("job %d: %s", self._address.job_id, error)
        return True

    def forget(self) -> None:
        """The job was deleted: nobody wants the rest."""
        self._log.clear()
        self._results.clear()
        self._on_gone()

    def abandon(self) -> None:
        """Let whoever waits in `finish` go; what is not delivered by now is not."""
        self._closed.set()
        self._results.abandon()
        self._log.abandon()

    def _drain_log(self, timeout: float | None) -> bool:
        """Deliver the log, and say in it what it lacks."""
        with self._lock:
            self._report_losses()
        if not self._log.drain(timeout):
            return False
        with self._lock:  # what was refused just now
            self._report_losses()
        return self._log.drain(timeout)

    def _put_record(self, record: Log) -> None:
        if record.logger != OWN_LOGGER and not self._log.has_capacity:
            self._dropped["log records were dropped here: the outbox was full"] += 1
            return
        self._report_losses()
        self._send(record)

    def _report_losses(self) -> None:
        for words, count in self._dropped.items():
            message = f"{count:,} {words}"
            self._send(Log(severity="WARNING", logger=OWN_LOGGER, message=message))
        self._dropped.clear()

    def _send(self, record: Log) -> None:
        """Put a record into its queue with the time, which tells equal ones apart.

        No two of a job have the same: else a batch that was refused would look like
        the one before it, which arrived.
        """
        self._latest = max(dt.datetime.now(dt.UTC), self._latest + _TICK)
        stamp = self._latest.replace(tzinfo=None).isoformat(timespec="microseconds")
        self._log.put(replace(record, message=f"{stamp}Z {record.message}"))

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds * self._pace):
            raise _Abandoned

    def _set_status(self, status: str) -> None:
        """Set the status; that it is set already is as good."""
        job_id = self._address.job_id
        with login_awaited():
            try:
                self._api.set_status(self._address.experiment_id, job_id, status)
            except (NotFound, LoginRefused):
                raise
            except ServiceRefused:
                reached = "queued" if status == "reset" else status
                if self._api.job(job_id).status != reached:
                    raise
