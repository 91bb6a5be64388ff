"""A job's log, as the worker writes it: masked, stamped, in order, each line once.

What the job says and what the worker says of it go through one object, which is built
before all that has something to say, and which delivers it in batches.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections import Counter
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from dioptra_worker.daemon.outbox.delivery_queue import Batch, DeliveryQueue
from dioptra_worker.daemon.outbox.sender import (
    LATE_ARRIVAL_WINDOW,
    POISON_TRIES,
    ApiSender,
    log_delivery_goes_on,
    log_delivery_waits,
    refused_login_is_unavailable,
)
from dioptra_worker.protocol.messages import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dioptra_worker.common.masking import Mask
    from dioptra_worker.daemon.outbox.buffer import Capacity
    from dioptra_worker.daemon.outbox.journal import Journal
    from dioptra_worker.daemon.outbox.sender import Api
    from dioptra_worker.errors import ServiceUnavailable
    from dioptra_worker.protocol.messages import Severity

log = logging.getLogger("dioptra_worker.courier")
_worker_log = logging.getLogger("dioptra_worker.conversation")

OWN_LOGGER = "dioptra_worker"
"""The logger of the worker's own few lines, which are never dropped."""
LOG_BATCH = Batch(enough=100, age=1.0, most=500, weight=4 << 20)
"""Records go after a second or at a hundred; at most 500 or 4 Mi characters at once."""
NOTABLE_OUTAGE = 5.0
"""Seconds without the API after which a job's log says that its lines came late."""
TRIES_OF_A_PART = 2
"""Answers of 500 in a row for a part of what was found to be poisonous."""
MAX_REFUSALS_DESCRIBED = 20
"""Refused log records of a job that are described; the others are counted."""
MAX_FOREIGN_RECORDS = 100
"""Records of others that a job's log may have got since ours."""
SURELY_NOT_ARRIVED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
"""Answers after which a request does not arrive any more."""

_TICK = dt.timedelta(microseconds=1)


class JobLog:
    """One job's log; its methods may be called from any thread and return at once.

    Its lock makes stamping and queueing one step, so that the times in the log are in
    its order. It is taken before the queue's own and never the other way round: the
    queue calls its sender, and so `say` and `note_loss`, without holding its lock.

    Attributes:
        ending: Whether nothing but its own apologies comes any more.
    """

    def __init__(
        self,
        api: Api,
        job_id: int,
        *,
        mask: Mask,
        on_gone: Callable[[], object],
        journal: Journal | None = None,
        prefix: str = "",
        batch: Batch = LOG_BATCH,
        capacity: Capacity | None = None,
        pace: float = 1.0,
        notable: float = NOTABLE_OUTAGE,
    ) -> None:
        """Prepare; entering starts the delivery.

        Args:
            api: Where to deliver.
            job_id: The job.
            mask: Hides secrets in text.
            on_gone: Told when the API no longer knows the job.
            journal: Keeps lines on disk; what it has is delivered first.
            prefix: What each line begins with.
            batch: Which lines go out together.
            capacity: What may wait; beyond it, lines are dropped, counted and said.
            pace: What pauses between two tries are multiplied with.
            notable: Seconds without the API after which the log says that its lines
                came late.
        """
        self._job_id = job_id
        self._mask = mask
        self._lock = threading.Lock()
        self._losses: Counter[str] = Counter()
        self._latest = dt.datetime.min.replace(tzinfo=dt.UTC)
        self.ending = False
        self._queue = DeliveryQueue(
            "log",
            LogSender(
                api, job_id, self, on_gone=on_gone, prefix=prefix, notable=notable
            ),
            batch=batch,
            capacity=capacity,
            buffer=journal.log if journal else None,
            pace=pace,
        )

    def __enter__(self) -> Self:
        self._queue.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.__exit__(kind, error, trace)

    def __len__(self) -> int:
        """How many lines wait."""
        return len(self._queue)

    def put(self, record: Log) -> None:
        """Add a line of the job's."""
        # Masking a long text takes a while, and holds up nobody else's line.
        logger, text = self._mask(record.logger), self._mask(record.message)
        record = replace(record, logger=_sendable(logger), message=_sendable(text))
        with self._lock:
            if record.logger != OWN_LOGGER and not self._queue.has_capacity:
                self._losses["log records were dropped here: the outbox was full"] += 1
                return
            self._report_losses()
            self._send(record)

    def say(self, severity: Severity, text: str) -> None:
        """Add a line of the worker's own, and say it in the worker's log, too."""
        level = logging.getLevelNamesMapping()[severity]
        _worker_log.log(level, "job %d: %s", self._job_id, text)
        self.log_job_only(severity, text)

    def log_job_only(self, severity: Severity, text: str) -> None:
        """Add a line of the worker's own."""
        self.put(Log(severity=severity, logger=OWN_LOGGER, message=text))

    def note_loss(self, words: str, count: int = 1) -> None:
        """Have it said, with the next line or at the end, that something is lost."""
        with self._lock:
            self._losses[words] += count

    def drain(self, timeout: float | None = None) -> bool:
        """Deliver it all, and say in it what it lacks.

        Args:
            timeout: Seconds to wait at most, twice; None waits however long it takes.

        Returns:
            Whether nothing waits.
        """
        self.ending = True
        with self._lock:
            self._report_losses()
        if not self._queue.drain(timeout):
            return False
        with self._lock:  # what was refused just now
            self._report_losses()
        return self._queue.drain(timeout)

    def clear(self) -> None:
        """Throw everything away, now and later."""
        self._queue.clear()

    def abandon(self) -> None:
        """Let whoever drains go, now and later."""
        self._queue.abandon()

    def _report_losses(self) -> None:
        for words, count in self._losses.items():
            message = f"{count:,} {words}"
            self._send(Log(severity="WARNING", logger=OWN_LOGGER, message=message))
        self._losses.clear()

    def _send(self, record: Log) -> None:
        """Put a record into its queue with the time, which tells equal ones apart.

        No two of a job have the same: else a batch that was refused would look like
        the one before it, which arrived.
        """
        self._latest = max(dt.datetime.now(dt.UTC), self._latest + _TICK)
        stamp = self._latest.replace(tzinfo=None).isoformat(timespec="microseconds")
        self._queue.put(replace(record, message=f"{stamp}Z {record.message}"))


class LogSender(ApiSender):
    """Delivers log records: in batches, each exactly once."""

    def __init__(
        self,
        api: Api,
        job_id: int,
        job_log: JobLog,
        *,
        on_gone: Callable[[], object],
        prefix: str,
        notable: float,
    ) -> None:
        super().__init__(api, job_id, on_gone=on_gone)
        self._log = job_log
        self._prefix = prefix
        self._notable = notable
        self._may_say_late = True
        self._described = 0

    def on_wait(self, error: ServiceUnavailable) -> None:
        """It waits for the API: no use to say that in the log that waits."""
        log_delivery_waits(self._job_id, "log records", error)

    def on_back(self, seconds: float) -> None:
        """It need not wait any more.

        A log that says each time that it came late might never come to its end.
        """
        words = log_delivery_goes_on(self._job_id, "log records", seconds)
        if seconds >= self._notable and self._may_say_late:
            self._may_say_late = not self._log.ending
            self._log.say("INFO", words)

    def on_loss(self, count: int) -> None:
        """Some could not be read back."""
        words = "log records could not be read back from the disk"
        self._log.note_loss(words, count)

    def deliver(self, items: list[Log]) -> None:
        """Deliver, or raise why not."""
        with refused_login_is_unavailable():
            self._api.post_log(self._job_id, [self._prefixed(one) for one in items])
        self._failures = 0

    def count_delivered(self, items: list[Log]) -> int:
        """How many are in the log: its records are told apart by their times."""
        stamps = [_stamp(record.message) for record in items]
        with refused_login_is_unavailable():
            there = self._stamps_since(stamps[0], len(items) + MAX_FOREIGN_RECORDS)
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

    def weight(self, item: Log) -> int:
        """What an item weighs."""
        return len(item.message)

    def late_window(self, items: list[Log], error: ServiceUnavailable) -> float:
        """Seconds in which what failed may still arrive."""
        del items
        return 0.0 if error.status in SURELY_NOT_ARRIVED else LATE_ARRIVAL_WINDOW

    def is_poison(self, items: list[Log], error: ServiceUnavailable) -> bool:
        """Whether these items are to blame, and not the API."""
        poisonous = self._fails_here_only(error)
        if poisonous and len(items) > 1:
            self._failures = POISON_TRIES - TRIES_OF_A_PART
        return poisonous

    def on_refusal(self, items: list[Log], words: str) -> None:
        """Have it said what will never be delivered."""
        log.error(
            "job %d: %d log records: %s",
            self._job_id,
            len(items),
            words,
            extra={"event": "refused"},
        )
        for record in items:
            if record.logger == OWN_LOGGER:  # which may be what was said of another
                continue
            self._described += 1
            if self._described > MAX_REFUSALS_DESCRIBED:
                self._log.note_loss("more log records could not be delivered")
                continue
            begins = ascii(record.message.partition(" ")[2][:60])
            self._log.note_loss(
                f"log record of {record.logger!r} could not be delivered: {words}"
                f" (it begins {begins})"
            )

    def _prefixed(self, record: Log) -> Log:
        stamp, _, text = record.message.partition(" ")
        return replace(record, message=f"{stamp} {self._prefix}{text}")


def _stamp(text: str) -> str:
    return text.partition(" ")[0]


def _sendable(text: str) -> str:
    """Text that JSON over UTF-8 and the API's database can hold, as they keep it."""
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return text.replace("\r\n", "\n").replace("\r", "\n")
