"""What the log's queue carries: records in batches, each exactly once."""

from __future__ import annotations

import logging
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from dioptra_worker.daemon.outbox.items import OWN_LOGGER
from dioptra_worker.daemon.outbox.sender import LATE_ARRIVAL_WINDOW
from dioptra_worker.daemon.outbox.sender_base import (
    POISON_TRIES,
    SenderBase,
    login_awaited,
)

if TYPE_CHECKING:
    from dioptra_worker.daemon.outbox.sender_base import Api, Owner
    from dioptra_worker.errors import ServiceUnavailable
    from dioptra_worker.protocol.messages import Log

log = logging.getLogger("dioptra_worker.courier")

TRIES_OF_A_PART = 2
"""Answers of 500 in a row for a part of what was found to be poisonous."""
DESCRIBED = 20
"""Refused log records of a job that are described; the others are counted."""
FOREIGN = 100
"""Records of others that a job's log may have got since ours."""
SURELY_NOT = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
"""Answers after which a request does not arrive any more."""


class LogSender(SenderBase):
    """Log records: in batches, each exactly once."""

    name = "log records"

    def __init__(self, owner: Owner, api: Api, job_id: int, *, mark: str = "") -> None:
        super().__init__(owner, api, job_id)
        self._mark = mark
        self._described = 0

    def deliver(self, items: list[Log]) -> None:
        """Deliver, or raise why not."""
        with login_awaited():
            self._api.post_log(self._job_id, [self._marked(one) for one in items])
        self._failures = 0

    def count_delivered(self, items: list[Log]) -> int:
        """How many are in the log: its records are told apart by their times."""
        stamps = [_stamp(record.message) for record in items]
        with login_awaited():
            there = self._stamps_since(stamps[0], len(items) + FOREIGN)
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
        return 0.0 if error.status in SURELY_NOT else LATE_ARRIVAL_WINDOW

    def is_poison(self, items: list[Log], error: ServiceUnavailable) -> bool:
        """Whether these items are to blame, and not the API."""
        poisonous = self._fails_here_only(error)
        if poisonous and len(items) > 1:
            self._failures = POISON_TRIES - TRIES_OF_A_PART
        return poisonous

    def _marked(self, record: Log) -> Log:
        stamp, _, text = record.message.partition(" ")
        return replace(record, message=f"{stamp} {self._mark}{text}")

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
            if self._described > DESCRIBED:
                self._owner.lost("more log records could not be delivered")
                continue
            begins = ascii(record.message.partition(" ")[2][:60])
            self._owner.lost(
                f"log record of {record.logger!r} could not be delivered: {words}"
                f" (it begins {begins})"
            )


def _stamp(text: str) -> str:
    return text.partition(" ")[0]
