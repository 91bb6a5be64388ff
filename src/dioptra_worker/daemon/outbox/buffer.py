"""What waits in one queue, in order: in memory, and soon on disk."""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.daemon.outbox.item_store import ItemStore

log = logging.getLogger("dioptra_worker.spool")

P = TypeVar("P")

Entry = tuple[int, P]
"""An item with its number."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a queue's buffer holds at most.

    Attributes:
        items: Items in memory where there is no disk to write them to.
        weight: What those in memory weigh: of the log, its characters.
        disk: Bytes on disk.
    """

    items: int = 50_000
    weight: int = 16 << 20
    disk: int = 256 << 20


@dataclass(frozen=True)
class Reading(Generic[P]):
    """What was read back.

    Attributes:
        items: Items with their numbers, in order.
        upto: The last number that is accounted for; those of the numbers before it
            that have no item are lost.
    """

    items: list[Entry[P]]
    upto: int


class Buffer(Generic[P]):
    """One queue's items until they are acknowledged; safe from any thread.

    An item is in memory until a `flush` has written it, then on disk only. Without a
    store, or when the disk refuses, it stays in memory.

    Two locks, since `put` must not wait for a disk: `_lock` guards what is in memory
    and is never held while the disk is used. `_disk` makes one thing at a time of
    writing, reading back and deleting; it is taken before `_lock`, never after.

    Attributes:
        acked: The number up to which all items are delivered or given up.
        last: The number of the last item.
        broken: Whether the disk refused something; then what follows is in memory.
    """

    def __init__(
        self,
        weight: Callable[[P], int],
        store: ItemStore[P] | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with what the store has.

        Args:
            weight: What an item weighs.
            store: Keeps items on disk.
            wake: Called when there is something to write, to have it flushed soon.
        """
        self._weight = weight
        self._store = store
        self._wake = wake
        self._lock = threading.Lock()
        self._disk = threading.Lock()
        self._unwritten: deque[Entry[P]] = deque()
        self._load = 0
        self.broken = False
        self.acked = store.acked if store else 0
        self.last = self._written = store.last if store else 0

    @property
    def waiting(self) -> int:
        """How many items are not acknowledged."""
        return self.last - self.acked

    @property
    def load(self) -> int:
        """What the items in memory weigh."""
        return self._load

    def has_capacity(self, capacity: Capacity) -> bool:
        """Whether another item may come."""
        if self._load >= capacity.weight:
            return False
        if self._store is not None and not self.broken:
            return self._store.size < capacity.disk
        return self._written > self.acked or len(self._unwritten) < capacity.items

    def put(self, item: P) -> int:
        """Append an item, whether there is capacity or not; returns its number."""
        with self._lock:
            self.last += 1
            number = self.last
            self._unwritten.append((number, item))
            self._load += self._weight(item)
            if len(self._unwritten) == 1:
                self._wake()
            return number

    def flush(self) -> None:
        """Write what is in memory, all at once."""
        with self._disk:
            with self._lock:
                waiting = list(self._unwritten)
            if self._store is None or self.broken or not waiting:
                return
            try:
                self._store.append(waiting)
            except OSError as error:
                self.broken = True
                log.warning(
                    "what is not delivered is kept in memory only: %s",
                    error,
                    extra={"event": "outbox-not-kept"},
                )
            else:
                self._written = waiting[-1][0]
                self._forget(self._written)
                with self._lock:  # what came meanwhile has woken nobody: see `put`
                    if self._unwritten:
                        self._wake()

    def read(self, after: int, *, most: int, weight: int) -> Reading[P]:
        """Read items back.

        Args:
            after: The number after which to begin.
            most: How many at most.
            weight: What they may weigh, unless the first is heavier.
        """
        with self._disk:
            found: list[Entry[P]] = []
            following = itertools.islice(self._following(after, most), most)
            with contextlib.suppress(OSError):
                for number, item in following:
                    weight -= self._weight(item)
                    if found and weight < 0:
                        break
                    found.append((number, item))
            # What the disk should have and does not give back is lost.
            return Reading(found, found[-1][0] if found else max(after, self._written))

    def waiting_items(self) -> list[P]:
        """All that waits, in order."""
        self.flush()
        found: list[P] = []
        after = self.acked
        while after < self.last:
            reading = self.read(after, most=sys.maxsize, weight=sys.maxsize)
            found += [item for _, item in reading.items]
            after = reading.upto
        return found

    def ack(self, number: int) -> None:
        """Note that all items up to a number are delivered or given up."""
        with self._disk:
            if number <= self.acked:
                return
            acked, self.acked = self.acked, number
            self._forget(number)
            if self._store is not None and self._written > acked:
                with contextlib.suppress(OSError):  # it is delivered twice, at worst
                    self._store.delete(number)

    def close(self) -> None:
        """Write what is in memory, and close the store."""
        self.flush()
        if self._store is not None:
            with contextlib.suppress(OSError):
                self._store.close()

    def _following(self, after: int, most: int) -> Iterator[Entry[P]]:
        """What is on disk, and behind it what is not yet: one request takes both."""
        if self._store is not None and after < self._written:
            yield from self._store.read(after)
            after = self._written
        with self._lock:
            rest = itertools.dropwhile(lambda entry: entry[0] <= after, self._unwritten)
            entries = list(itertools.islice(rest, most))
        yield from entries

    def _forget(self, number: int) -> None:
        """Drop items up to a number from memory."""
        with self._lock:
            while self._unwritten and self._unwritten[0][0] <= number:
                self._load -= self._weight(self._unwritten.popleft()[1])
