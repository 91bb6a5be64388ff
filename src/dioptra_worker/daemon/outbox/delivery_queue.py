"""A queue of items and the thread that delivers them: in order, and patiently."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from dioptra_worker.common.background import in_background
from dioptra_worker.common.network.backoff import backoff
from dioptra_worker.common.stop import JOB_DELETED, JobStop, Stopped
from dioptra_worker.daemon.outbox.buffer import Buffer, Capacity, Entry
from dioptra_worker.daemon.outbox.sender import LATE_ARRIVAL_WINDOW
from dioptra_worker.engine.wording import format_exception
from dioptra_worker.errors import NotFound, ServiceRefused, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from dioptra_worker.daemon.outbox.sender import Sender

log = logging.getLogger("dioptra_worker.lane")

P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What goes out together.

    Attributes:
        enough: Items after which nobody waits for more.
        age: Seconds that an item waits for company.
        most: Items that go out together when many wait.
        weight: What they may weigh together, unless a single one is heavier.
    """

    enough: int = 1
    age: float = 0.0
    most: int = 1
    weight: int = 1


class DeliveryQueue(Generic[P]):
    """One queue; `put` returns at once, the thread does the rest.

    The lock `_changed` is never held while the sender or the disk is used, nor while
    somebody else's lock is taken but the one for what the buffer has in memory.
    """

    def __init__(
        self,
        name: str,
        sender: Sender[P],
        *,
        batch: Batch,
        capacity: Capacity | None = None,
        buffer: Buffer[P] | None = None,
        stop: JobStop | None = None,
        is_over: Callable[[ServiceUnavailable], bool] = lambda _: False,
        pace: float = 1.0,
    ) -> None:
        """Prepare; entering starts the thread.

        Args:
            name: For the thread.
            sender: Knows the items.
            batch: What goes out together.
            capacity: What may wait.
            buffer: Where items wait; what it has is delivered first.
            stop: How long the delivery may take; None is no limit.
            is_over: Asked, from the thread, each time that the head of the queue has to
                wait for the service, whether all that waits is left for later.
            pace: What pauses between two tries are multiplied with.
        """
        self._sender = sender
        self._batch = batch
        self._stop = stop or JobStop()
        self._is_patience_over = is_over
        self._left = False
        self._pace = pace
        self._capacity = capacity or Capacity()
        self._buffer = buffer or Buffer(sender.weight)
        self._taken = self._buffer.acked
        self._since = time.monotonic()
        self._to_retry: deque[list[Entry[P]]] = deque()
        self._busy = False
        self._draining = False
        self._closing = False
        self._cleared = False
        self._maybe_delivered = self._buffer.waiting > 0
        # Its last request may still be under way.
        self._late_window = LATE_ARRIVAL_WINDOW if self._maybe_delivered else 0.0
        self._away_since: float | None = None
        self._delays: Iterator[float] = backoff()
        self._changed = threading.Condition()
        self._name = f"dioptra-{name}"
        self._ended: Future[None] | None = None

    def __enter__(self) -> Self:
        self._ended = in_background(self._work, self._name)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; what is not delivered by now is not."""
        assert self._ended is not None
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        # It may be within a request to an API that accepts and does not answer.
        with contextlib.suppress(Stopped):
            self._stop.result(self._ended)

    def __len__(self) -> int:
        """How many items wait, those under way included."""
        return self._buffer.waiting

    @property
    def load(self) -> int:
        """What the items in memory weigh."""
        return self._buffer.load

    @property
    def has_capacity(self) -> bool:
        """Whether another item may come."""
        return self._buffer.has_capacity(self._capacity)

    def put(self, item: P) -> None:
        """Leave an item."""
        with self._changed:
            if self._cleared:
                return
            waiting = self._buffer.put(item) - self._taken
            if waiting == 1:
                self._since = time.monotonic()
            if waiting in (1, self._batch.enough):
                self._changed.notify_all()

    def put_again(self, item: P) -> None:
        """Leave an item that is perhaps delivered already.

        Only when nothing else waits, or nothing but such items.
        """
        with self._changed:
            self._maybe_delivered, self._late_window = True, LATE_ARRIVAL_WINDOW
        self.put(item)

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until everything is delivered or given up, or there is no more time.

        Args:
            timeout: Seconds to wait at most; None waits as long as there is time.

        Returns:
            Whether nothing waits.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        with self._stop.waking(self._notify), self._changed:
            self._draining = True
            self._changed.notify_all()
            while not (self._is_empty() or self._left or self._stop.superseded):
                left = self._stop.within(until - time.monotonic())
                assert left is not None
                if left <= 0:
                    break
                self._changed.wait(None if left == math.inf else left)
            self._draining = False
            return self._is_empty()

    def _leave(self) -> None:
        """Let whoever drains go, now and later; what waits stays where it is."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def clear(self) -> None:
        """Throw everything away, now and later."""
        with self._changed:
            self._cleared, self._left = True, False
            self._taken = self._buffer.last
            self._to_retry.clear()
            self._changed.notify_all()
        self._buffer.ack(self._buffer.last)  # without the lock: it may use the disk

    def _is_empty(self) -> bool:
        return not (self._untaken or self._to_retry or self._busy)

    @property
    def _is_over(self) -> bool:
        """Whether nothing goes out any more: what waits is another's to deliver."""
        return self._closing or self._stop.superseded is not None

    @property
    def _untaken(self) -> int:
        return self._buffer.last - self._taken

    def _work(self) -> None:
        while (entries := self._next()) is not None:
            try:
                self._deliver(entries)
            except Exception as error:
                log.exception("an item is lost")
                self._give_up(entries, format_exception(error))

    def _deliver(self, entries: list[Entry[P]]) -> None:
        """Deliver what goes out together, or have it come back after a while."""
        try:
            if self._maybe_delivered:
                entries = self._drop_delivered(entries)
            if self._is_over:
                self._requeue(entries)
                return
            self._send(entries)
        except ServiceUnavailable as error:
            self._back_off(entries, error)
        except NotFound:  # nobody is there any more
            self.clear()
            self._stop.request(JOB_DELETED)
            self._finish(entries)
        except ServiceRefused as error:
            self._on_recovered()
            if len(entries) > 1 and self._sender.is_item_rejected(error):
                self._split(entries)
            else:
                self._give_up(entries, str(error))
        else:
            self._on_recovered()
            self._finish(entries)

    def _send(self, entries: list[Entry[P]]) -> None:
        if not entries:
            return
        self._maybe_delivered = True  # until there is an answer
        try:
            self._sender.deliver(_items(entries))
        except ServiceUnavailable as error:
            self._late_window = self._sender.late_window(_items(entries), error)
            raise
        except ServiceRefused:
            self._maybe_delivered = False
            raise
        self._maybe_delivered = False

    def _drop_delivered(self, entries: list[Entry[P]]) -> list[Entry[P]]:
        """What has yet to arrive of items that were sent without an answer."""
        items = _items(entries)
        count_delivered = self._sender.count_delivered(items)
        over = self._is_over or self._cleared
        while count_delivered < len(items) and self._late_window > 0 and not over:
            self._sleep(LATE_ARRIVAL_WINDOW * self._pace)
            count_delivered = self._sender.count_delivered(items)
            self._late_window -= LATE_ARRIVAL_WINDOW
            over = self._is_over or self._cleared
        self._late_window = 0.0
        # If all of these have arrived, the next may have, too: of what another process
        # has left, more may have been delivered than the disk could be told.
        self._maybe_delivered = count_delivered == len(items)
        self._ack(entries[:count_delivered])
        return entries[count_delivered:]

    def _back_off(self, entries: list[Entry[P]], error: ServiceUnavailable) -> None:
        """Have items come back after a while, unless it is they who are to blame."""
        if self._away_since is None and not self._cleared:
            self._away_since = time.monotonic()
            self._sender.on_wait(error)
        if not error.silence:  # what was on its way ended with who had taken it
            self._late_window = min(self._late_window, LATE_ARRIVAL_WINDOW)
        items = _items(entries)
        if not self._sender.is_poison(items, error):
            self._requeue(entries)
            # What may be given up by itself, and soon, parks no job.
            own = self._sender.may_be_poison(items, error)
            if not own and self._is_patience_over(error):
                self._leave()
            self._sleep(max(next(self._delays), error.retry_after or 0.0) * self._pace)
            return
        self._on_recovered()
        if len(entries) > 1:
            self._split(entries)
        else:
            self._give_up(entries, str(error))

    def _on_recovered(self) -> None:
        self._delays = backoff()
        if self._away_since is not None:
            seconds, self._away_since = time.monotonic() - self._away_since, None
            self._sender.on_back(seconds)

    def _next(self) -> list[Entry[P]] | None:
        """Take what goes out together; None when there is nothing more to do.

        What came back goes as it was, to be recognised.
        """
        while True:
            with self._changed:
                while not self._must_go():
                    if self._is_over:
                        return None
                    self._changed.wait(self._time_left())
                if self._is_over:
                    return None
                self._busy = True
                if self._to_retry:
                    return self._to_retry.popleft()
            entries = self._take()
            if entries:
                return entries
            self._finish([])

    def _take(self) -> list[Entry[P]]:
        """Read on, without the lock: `put` never waits for the disk."""
        batch, after = self._batch, self._taken
        reading = self._buffer.read(after, most=batch.most, weight=batch.weight)
        with self._changed:
            if self._cleared:
                return []
            self._taken = reading.upto
        if lost := reading.upto - after - len(reading.items):
            self._sender.on_loss(lost)
            if not reading.items:
                self._buffer.ack(reading.upto)
        return reading.items

    def _must_go(self) -> bool:
        left = self._time_left()
        return left is not None and left <= 0

    def _time_left(self) -> float | None:
        """Seconds until the head of the queue must go; None when there is nothing."""
        if self._to_retry:
            return 0.0
        waiting = self._untaken
        if not waiting:
            return None
        if self._draining or waiting >= self._batch.enough:
            return 0.0
        return self._since + self._batch.age - time.monotonic()

    def _requeue(self, *batches: list[Entry[P]]) -> None:
        """Put batches back to the head."""
        with self._changed:
            self._busy = False
            if not self._cleared:
                self._to_retry.extendleft(reversed([part for part in batches if part]))
            self._changed.notify_all()

    def _split(self, entries: list[Entry[P]]) -> None:
        """Have the halves go one after the other, to find out whose fault it is."""
        middle = len(entries) // 2
        self._requeue(entries[:middle], entries[middle:])

    def _give_up(self, entries: list[Entry[P]], words: str) -> None:
        self._sender.on_refusal(_items(entries), words)
        self._finish(entries)

    def _sleep(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._cleared, seconds)

    def _finish(self, entries: list[Entry[P]]) -> None:
        """Items are delivered or given up."""
        self._ack(entries)
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _ack(self, entries: list[Entry[P]]) -> None:
        if entries:
            self._buffer.ack(entries[-1][0])


def _items(entries: list[Entry[P]]) -> list[P]:
    return [item for _, item in entries]
