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
from typing import TYPE_CHECKING, Self

from dioptra_worker.common.job_loggers import name_of_job
from dioptra_worker.common.text.printable import spelt_out
from dioptra_worker.daemon.outbox.delivery_queue import DeliveryQueue
from dioptra_worker.daemon.outbox.log_sender import LOG_BATCH, LogSender
from dioptra_worker.daemon.outbox.patience import Patience
from dioptra_worker.protocol.messages import OWN_LOGGER, Log

if TYPE_CHECKING:
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.common.text.masking import Mask
    from dioptra_worker.daemon.outbox.buffer import Capacity
    from dioptra_worker.daemon.outbox.delivery_queue import Batch
    from dioptra_worker.daemon.outbox.journal import Journal
    from dioptra_worker.daemon.outbox.sender import Api
    from dioptra_worker.protocol.messages import Severity
    from dioptra_worker.supervision.record.chains import LogChain

log = logging.getLogger("dioptra_worker.courier")
_worker_log = logging.getLogger("dioptra_worker.conversation")

NOTABLE_OUTAGE = 5.0
"""Seconds without the API after which a job's log says that its lines came late."""


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
        stop: JobStop,
        patience: Patience | None = None,
        journal: Journal | None = None,
        chain: LogChain | None = None,
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
            stop: How long the delivery may take; told when the API no longer knows
                the job.
            patience: How long the lines wait for an API that fails at them alone once
                the job has ended; None is for ever.
            journal: Keeps lines on disk; what it has is delivered first.
            chain: Is extended by each line but the last.
            prefix: What each line begins with.
            batch: Which lines go out together.
            capacity: What may wait; beyond it, lines are dropped, counted and said.
            pace: What pauses between two tries are multiplied with.
            notable: Seconds without the API after which the log says that its lines
                came late.
        """
        self._job_id = job_id
        self._mask = mask
        self._chain = chain
        self._lock = threading.Lock()
        self._losses: Counter[str] = Counter()
        self._latest = dt.datetime.min.replace(tzinfo=dt.UTC)
        self.ending = False
        self._sender = LogSender(
            api,
            job_id,
            self,
            prefix=prefix,
            notable=notable,
            left_out="" if journal is None else journal.last_line,
        )
        self._queue = DeliveryQueue(
            "log",
            self._sender,
            batch=batch,
            capacity=capacity,
            buffer=journal.log if journal else None,
            stop=stop,
            is_over=(patience or Patience(api.ping)).is_over,
            pace=pace,
        )

    def __enter__(self) -> Self:
        self._queue.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._queue.__exit__(*error)

    def __len__(self) -> int:
        """How many lines wait."""
        return len(self._queue)

    def put(self, record: Log) -> None:
        """Add a line of the job's, which cannot be taken for one of the worker's own.

        What its process says comes from one place, whatever it is called there.
        """
        self._add(replace(record, logger=name_of_job(record.logger)), own=False)

    def put_own(self, record: Log) -> None:
        """Add a line of the worker's own: one, whatever words of others are in it."""
        self._add(replace(record, message=spelt_out(record.message)), own=True)

    def _add(self, record: Log, *, own: bool) -> None:
        # Masking a long text takes a while, and holds up nobody else's line.
        logger, text = self._mask(record.logger), self._mask(record.message)
        record = replace(record, logger=_sendable(logger), message=_sendable(text))
        with self._lock:
            if not own and not self._queue.has_capacity:
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
        self.put_own(Log(severity=severity, logger=OWN_LOGGER, message=text))

    def end_line(self, severity: Severity, text: str) -> str:
        """A last line with its time, which is yet to be put; said in the worker's log.

        Args:
            severity: That in the worker's log.
            text: What it says.
        """
        level = logging.getLevelNamesMapping()[severity]
        _worker_log.log(level, "job %d: %s", self._job_id, text)
        with self._lock:
            return f"{self._stamp()} {_sendable(self._mask(spelt_out(text)))}"

    def put_end(self, severity: Severity, line: str, *, again: bool) -> None:
        """Add the last line.

        Args:
            severity: What it is.
            line: The line, with its time.
            again: Whether somebody else has perhaps delivered it. Then it is looked
                for, once all before it is delivered.
        """
        text = _sendable(self._mask(spelt_out(line)))  # it may have been in Redis
        record = Log(severity=severity, logger=OWN_LOGGER, message=text)
        if not again:
            self._queue.put(record)
        elif self._queue.drain():
            self._sender.left_out = ""
            self._queue.put_again(record)

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

    def _report_losses(self) -> None:
        for words, count in self._losses.items():
            message = f"{count:,} {words}"
            self._send(Log(severity="WARNING", logger=OWN_LOGGER, message=message))
        self._losses.clear()

    def _send(self, record: Log) -> None:
        """Put a record into its queue with the time, which tells equal ones apart.

        No two of a job have the same: else a batch that was refused would look like
        the one before it, which arrived. They are in the log's order, but for the last
        line, which has the time of the job's end and comes after what tells of results
        that were late.
        """
        stamped = replace(record, message=f"{self._stamp()} {record.message}")
        if self._chain is not None:
            self._chain.add(stamped)
        self._queue.put(stamped)

    def _stamp(self) -> str:
        self._latest = max(dt.datetime.now(dt.UTC), self._latest + _TICK)
        stamp = self._latest.replace(tzinfo=None).isoformat(timespec="microseconds")
        return f"{stamp}Z"


def _sendable(text: str) -> str:
    """Text that JSON over UTF-8 and the API's database can hold, as they keep it."""
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return text.replace("\r\n", "\n").replace("\r", "\n")
