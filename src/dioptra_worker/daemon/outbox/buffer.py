"""What waits in one lane, in order: in memory, and beyond what that holds on disk."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.daemon.outbox.wal import Spool

P = TypeVar("P")

Entry = tuple[int, P]
"""A parcel with its number."""

CHUNK = 1000
CHUNK_WEIGHT = 8 << 20
"""How many parcels, and of what weight, are read back from the disk at once."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a lane's backlog holds at most.

    Attributes:
        parcels: Parcels in memory.
        weight: What those weigh: of the log, its characters.
        disk: Bytes on disk.
    """

    parcels: int = 50_000
    weight: int = 16 << 20
    disk: int = 256 << 20


class Backlog(Generic[P]):
    """A lane's backlog; the lane calls all but `fetch` with its lock held.

    Every parcel is also in the spool, if there is one, until it is settled: another
    process may have to deliver it. Parcels beyond the room in memory are only there.
    """

    def __init__(
        self, *, weight: Callable[[P], int], room: Room, spool: Spool[P] | None = None
    ) -> None:
        """Begin with what the spool has.

        Args:
            weight: What a parcel weighs.
            room: What may wait.
            spool: Keeps parcels on disk.
        """
        self._weight = weight
        self._room = room
        self._spool = spool
        self._parcels: deque[tuple[float, int, P]] = deque()
        self._load = 0
        self._next = 0
        self._upto = spool.settled if spool else 0
        self._beyond = spool.last - spool.settled if spool else 0
        self._since = time.monotonic()

    def __len__(self) -> int:
        """How many parcels wait."""
        return len(self._parcels) + self._beyond

    @property
    def load(self) -> int:
        """What the parcels in memory weigh."""
        return self._load

    @property
    def oldest(self) -> float:
        """When the first of them came, on the monotonic clock."""
        return self._parcels[0][0] if self._parcels else self._since

    @property
    def has_room(self) -> bool:
        """Whether another parcel may come."""
        room, spool = self._room, self._spool
        if self._room_in_memory():
            return True
        if spool is None:
            return False
        return spool.held < room.weight and (
            self._beyond > 0 if spool.broken else spool.size < room.disk
        )

    def add(self, parcel: P) -> None:
        """Append a parcel, whether there is room or not."""
        spool = self._spool
        unkept = spool is None or spool.broken
        in_memory = self._room_in_memory() or (unkept and self._beyond == 0)
        if spool is None:
            self._next += 1
            number = self._next
        else:
            number = spool.number() if unkept and in_memory else spool.append(parcel)
        if in_memory:
            self._parcels.append((time.monotonic(), number, parcel))
            self._load += self._weight(parcel)
        else:
            self._beyond += 1

    @property
    def wants_fetching(self) -> bool:
        """Whether what comes next is on disk."""
        return not self._parcels and self._beyond > 0

    def fetch(self) -> Callable[[], int]:
        """Read what comes next from the disk.

        Returns:
            Puts it in, to be called with the lane's lock held; gives the number of
            parcels that turned out to be lost.
        """
        assert self._spool is not None
        after = self._upto
        reading = self._spool.read(after, most=CHUNK, weight=CHUNK_WEIGHT)

        def put_in() -> int:
            if self._beyond == 0:  # cleared meanwhile
                return 0
            now = time.monotonic()
            for number, parcel in reading.parcels:
                self._parcels.append((now, number, parcel))
                self._load += self._weight(parcel)
            passed = reading.upto - after
            self._beyond = max(0, self._beyond - passed)
            self._upto = reading.upto
            return passed - len(reading.parcels)

        return put_in

    def take(self, *, most: int, weight: int) -> list[Entry[P]]:
        """Take the first parcels in memory out.

        Args:
            most: How many at most.
            weight: What they may weigh together, unless the first is heavier.
        """
        taken: list[Entry[P]] = []
        while self._parcels and len(taken) < most:
            _, number, parcel = self._parcels[0]
            more = self._weight(parcel)
            if taken and more > weight:
                break
            weight -= more
            self._load -= more
            self._parcels.popleft()
            taken.append((number, parcel))
            self._upto = max(self._upto, number)
        return taken

    def settle(self, entries: list[Entry[P]]) -> None:
        """Note that parcels which were taken are delivered or given up."""
        if self._spool is not None and entries:
            self._spool.settle(entries[-1][0])

    def clear(self) -> None:
        """Throw everything away."""
        self._parcels.clear()
        self._load = self._beyond = 0
        if self._spool is not None:
            self._spool.settle(self._spool.last)

    def _room_in_memory(self) -> bool:
        room = self._room
        return (
            self._beyond == 0
            and len(self._parcels) < room.parcels
            and self._load < room.weight
        )
