"""What waits in one queue, in order: in memory, and beyond what that holds on disk."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.daemon.outbox.wal import WriteAheadLog

P = TypeVar("P")

Entry = tuple[int, P]
"""An item with its number."""

CHUNK = 1000
CHUNK_WEIGHT = 8 << 20
"""How many items, and of what weight, are read back from the disk at once."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a queue's buffer holds at most.

    Attributes:
        items: Items in memory.
        weight: What those weigh: of the log, its characters.
        disk: Bytes on disk.
    """

    items: int = 50_000
    weight: int = 16 << 20
    disk: int = 256 << 20


class Buffer(Generic[P]):
    """A queue's buffer; the queue calls all but `fetch` with its lock held.

    Every item is also in the wal, if there is one, until it is settled: another
    process may have to deliver it. Items beyond the capacity in memory are only there.
    """

    def __init__(
        self,
        *,
        weight: Callable[[P], int],
        capacity: Capacity,
        wal: WriteAheadLog[P] | None = None,
    ) -> None:
        """Begin with what the wal has.

        Args:
            weight: What an item weighs.
            capacity: What may wait.
            wal: Keeps items on disk.
        """
        self._weight = weight
        self._capacity = capacity
        self._wal = wal
        self._items: deque[tuple[float, int, P]] = deque()
        self._load = 0
        self._next = 0
        self._upto = wal.acked if wal else 0
        self._beyond = wal.last - wal.acked if wal else 0
        self._since = time.monotonic()

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._items) + self._beyond

    @property
    def load(self) -> int:
        """What the items in memory weigh."""
        return self._load

    @property
    def oldest(self) -> float:
        """When the first of them came, on the monotonic clock."""
        return self._items[0][0] if self._items else self._since

    @property
    def has_capacity(self) -> bool:
        """Whether another item may come."""
        capacity, wal = self._capacity, self._wal
        if self._room_in_memory():
            return True
        if wal is None:
            return False
        return wal.held < capacity.weight and (
            self._beyond > 0 if wal.broken else wal.size < capacity.disk
        )

    def add(self, item: P) -> None:
        """Append an item, whether there is capacity or not."""
        wal = self._wal
        unkept = wal is None or wal.broken
        in_memory = self._room_in_memory() or (unkept and self._beyond == 0)
        if wal is None:
            self._next += 1
            number = self._next
        else:
            number = wal.number() if unkept and in_memory else wal.append(item)
        if in_memory:
            self._items.append((time.monotonic(), number, item))
            self._load += self._weight(item)
        else:
            self._beyond += 1

    @property
    def wants_fetching(self) -> bool:
        """Whether what comes next is on disk."""
        return not self._items and self._beyond > 0

    def fetch(self) -> Callable[[], int]:
        """Read what comes next from the disk.

        Returns:
            Puts it in, to be called with the queue's lock held; gives the number of
            items that turned out to be lost.
        """
        assert self._wal is not None
        after = self._upto
        reading = self._wal.read(after, most=CHUNK, weight=CHUNK_WEIGHT)

        def put_in() -> int:
            if self._beyond == 0:  # cleared meanwhile
                return 0
            now = time.monotonic()
            for number, item in reading.items:
                self._items.append((now, number, item))
                self._load += self._weight(item)
            passed = reading.upto - after
            self._beyond = max(0, self._beyond - passed)
            self._upto = reading.upto
            return passed - len(reading.items)

        return put_in

    def take(self, *, most: int, weight: int) -> list[Entry[P]]:
        """Take the first items in memory out.

        Args:
            most: How many at most.
            weight: What they may weigh together, unless the first is heavier.
        """
        taken: list[Entry[P]] = []
        while self._items and len(taken) < most:
            _, number, item = self._items[0]
            more = self._weight(item)
            if taken and more > weight:
                break
            weight -= more
            self._load -= more
            self._items.popleft()
            taken.append((number, item))
            self._upto = max(self._upto, number)
        return taken

    def ack(self, entries: list[Entry[P]]) -> None:
        """Note that items which were taken are delivered or given up."""
        if self._wal is not None and entries:
            self._wal.ack(entries[-1][0])

    def clear(self) -> None:
        """Throw everything away."""
        self._items.clear()
        self._load = self._beyond = 0
        if self._wal is not None:
            self._wal.ack(self._wal.last)

    def _room_in_memory(self) -> bool:
        capacity = self._capacity
        return (
            self._beyond == 0
            and len(self._items) < capacity.items
            and self._load < capacity.weight
        )
