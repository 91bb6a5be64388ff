"""Send log records in batches, each exactly once."""

from __future__ import annotations

import logging
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.daemon.outbox.delivery_queue import Batch
from dioptra_worker.daemon.outbox.items import weight
from dioptra_worker.daemon.outbox.sender import (
    LATE_ARRIVAL_WINDOW,
    POISON_TRIES,
    ApiSender,
    log_delivery_goes_on,
    log_delivery_waits,
    may_be_alone,
    refused_login_is_unavailable,
)
from dioptra_worker.protocol.messages import OWN_LOGGER

if TYPE_CHECKING:
    from dioptra_worker.daemon.outbox.sender import Api
    from dioptra_worker.errors import ServiceUnavailable
    from dioptra_worker.protocol.messages import Log, Severity

log = logging.getLogger("dioptra_worker.courier")


class OwnLines(Protocol):
    """Where a sender says what became of the log: the log itself, a `JobLog`.

    Attributes:
        ending: Whether nothing but such lines comes any more.
    """

    ending: bool

    def say(self, severity: Severity, text: str) -> None:
        """Add a line of the worker's own."""
        ...

    def note_loss(self, words: str, count: int = 1) -> None:
        """Have it said, with the next line or at the end, that something is lost."""
        ...


LOG_BATCH = Batch(enough=100, age=1.0, most=500, weight=4 << 20)
"""Records go after a second or at a hundred; at most 500 or 4 Mi characters at once."""


TRIES_OF_A_PART = 2
"""Answers of 500 in a row for a part of what was found to be poisonous."""


MAX_REFUSALS_DESCRIBED = 20
"""Refused log records of a job that are described; the others are counted."""


MAX_FOREIGN_RECORDS = 100
"""Records of others that a job's log may have got since ours."""


SLOW_ARRIVAL = 2.0
"""How much longer than we waited for an answer log records may take to arrive."""


SURELY_NOT_ARRIVED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
"""Answers after which a request does not arrive any more."""


class LogSender(ApiSender):
    """Delivers log records: in batches, each exactly once.

    Attributes:
        left_out: The time of a line that is left out wherever it stands: the last one
            of a lost worker's log, which is for who tells the job's end to say.
    """

    def __init__(
        self,
        api: Api,
        job_id: int,
        own_lines: OwnLines,
        *,
        prefix: str,
        notable: float,
        left_out: str = "",
    ) -> None:
        """Prepare.

        Args:
            api: Where to deliver.
            job_id: The job.
            own_lines: Where to say what became of the log.
            prefix: What each line begins with.
            notable: Seconds without the API after which the log says that its lines
                came late.
            left_out: The time of a line that is left out wherever it stands.
        """
        super().__init__(api, job_id)
        self.left_out = left_out
        self._own_lines = own_lines
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
            self._may_say_late = not self._own_lines.ending
            self._own_lines.say("INFO", words)

    def on_loss(self, count: int) -> None:
        """Some could not be read back."""
        words = "log records could not be read back from the disk"
        self._own_lines.note_loss(words, count)

    def deliver(self, items: list[Log]) -> None:
        """Deliver, or raise why not."""
        wanted = [one for one in items if _stamp(one.message) != self.left_out]
        if wanted:
            with refused_login_is_unavailable():
                self._api.post_log(self._job_id, [*map(self._prefixed, wanted)])
        self._failures = 0

    def count_delivered(self, items: list[Log]) -> int:
        """How many are in the log: its records are told apart by their times."""
        stamps = [_stamp(record.message) for record in items]
        with refused_login_is_unavailable():
            there = self._stamps_since(stamps[0], len(items) + MAX_FOREIGN_RECORDS)
        if self.left_out:
            there.add(self.left_out)
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
            if stamp in there or (page and max(page) < stamp):
                break
        return there

    def weight(self, item: Log) -> int:
        """What an item weighs."""
        return weight(item)

    def late_window(self, items: list[Log], error: ServiceUnavailable) -> float:
        """Seconds in which what failed may still arrive."""
        del items
        if error.status in SURELY_NOT_ARRIVED:
            return 0.0
        return max(LATE_ARRIVAL_WINDOW, error.silence * SLOW_ARRIVAL)

    def may_be_poison(self, items: list[Log], error: ServiceUnavailable) -> bool:
        """Whether these items may be to blame."""
        del items
        return may_be_alone(error)

    def is_poison(self, items: list[Log], error: ServiceUnavailable) -> bool:
        """Whether these items are to blame, and not the API."""
        poisonous = self.may_be_poison(items, error) and self._fails_here_only(error)
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
                self._own_lines.note_loss("more log records could not be delivered")
                continue
            begins = ascii(record.message.partition(" ")[2][:60])
            self._own_lines.note_loss(
                f"log record of {record.logger!r} could not be delivered: {words}"
                f" (it begins {begins})"
            )

    def _prefixed(self, record: Log) -> Log:
        stamp, _, text = record.message.partition(" ")
        return replace(record, message=f"{stamp} {self._prefix}{text}")


def _stamp(text: str) -> str:
    return text.partition(" ")[0]
