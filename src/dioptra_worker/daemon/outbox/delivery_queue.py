"""A queue of parcels and the thread that delivers them: in order, and patiently."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from dioptra_worker.common.retry import pauses
from dioptra_worker.daemon.outbox.buffer import Backlog, Entry, Room
from dioptra_worker.daemon.outbox.sender import SETTLE
from dioptra_worker.errors import NotFound, ServiceRefused, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from dioptra_worker.daemon.outbox.sender import Carrier
    from dioptra_worker.daemon.outbox.wal import Spool

log = logging.getLogger("dioptra_worker.lane")

P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What goes out together.

    Attributes:
        enough: Parcels after which nobody waits for more.
        age: Seconds that a parcel waits for company.
        most: Parcels that go out together when many wait.
        weight: What they may weigh together, unless a single one is heavier.
    """

    enough: int = 1
    age: float = 0.0
    most: int = 1
    weight: int = 1


class Lane(Generic[P]):
    """One lane; `put` returns at once, the thread does the rest."""

    def __init__(
        self,
        name: str,
        carrier: Carrier[P],
        *,
        batch: Batch,
        room: Room | None = None,
        spool: Spool[P] | None = None,
        pace: float = 1.0,
    ) -> None:
        """Prepare; entering starts the thread.

        Args:
            name: For the thread.
            carrier: Knows the parcels.
            batch: What goes out together.
            room: What may wait.
            spool: Keeps parcels on disk; what it has is delivered first.
            pace: What pauses between two tries are multiplied with.
        """
        self._carrier = carrier
        self._batch = batch
        self._pace = pace
        self._backlog = Backlog(weight=carrier.weight, room=room or Room(), spool=spool)
        self._under_way = 0
        self._let_go = False
        self._returned: deque[list[Entry[P]]] = deque()
        self._busy = False
        self._hurry = False
        self._closing = False
        self._gone = False
        self._unsure = len(self._backlog) > 0
        # Its last request may still be under way.
        self._late = SETTLE if self._unsure else 0.0
        self._away_since: float | None = None
        self._tries: Iterator[float] = pauses()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"dioptra-{name}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; what is not delivered by now is not."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def __len__(self) -> int:
        """How many parcels wait, those under way included."""
        return len(self._backlog) + self._under_way

    @property
    def load(self) -> int:
        """What the parcels in memory weigh, those under way not included."""
        return self._backlog.load

    @property
    def has_room(self) -> bool:
        """Whether another parcel may come."""
        with self._changed:
            return self._backlog.has_room

    def put(self, parcel: P) -> None:
        """Leave a parcel."""
        with self._changed:
            if self._gone:
                return
            self._backlog.add(parcel)
            if len(self._backlog) in (1, self._batch.enough):
                self._changed.notify_all()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until everything is delivered or given up.

        Args:
            timeout: Seconds to wait at most; None waits however long it takes.

        Returns:
            Whether nothing waits.
        """
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._let_go or self._is_empty(), timeout)
            self._hurry = False
            return self._is_empty()

    def let_go(self) -> None:
        """Let whoever drains go, now and later."""
        with self._changed:
            self._let_go = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Throw everything away, now and later."""
        with self._changed:
            self._gone = True
            self._backlog.clear()
            self._returned.clear()
            if not self._busy:
                self._under_way = 0
            self._changed.notify_all()

    def _is_empty(self) -> bool:
        return not len(self._backlog) and not self._returned and not self._busy

    # -- the thread ------------------------------------------------------------

    def _work(self) -> None:
        while (entries := self._next()) is not None:
            try:
                self._deliver(entries)
            except Exception as error:
                log.exception("a parcel is lost")
                self._give_up(entries, repr(error))

    def _deliver(self, entries: list[Entry[P]]) -> None:
        """Deliver what goes out together, or have it come back after a while."""
        try:
            if self._unsure:
                entries = self._without_arrived(entries)
            if self._closing:
                self._come_back(entries)
                return
            self._send(entries)
        except ServiceUnavailable as error:
            self._wait(entries, error)
        except NotFound:
            self._carrier.on_gone()
            self._over(entries)
        except ServiceRefused as error:
            self._is_back()
            if len(entries) > 1 and self._carrier.is_ones_fault(error):
                self._split(entries)
            else:
                self._give_up(entries, str(error))
        else:
            self._is_back()
            self._over(entries)

    def _send(self, entries: list[Entry[P]]) -> None:
        if not entries:
            return
        self._unsure = True  # until there is an answer
        try:
            self._carrier.deliver(_parcels(entries))
        except ServiceUnavailable as error:
            self._late = self._carrier.lateness(_parcels(entries), error)
            raise
        except ServiceRefused:
            self._unsure = False
            raise
        self._unsure = False

    def _without_arrived(self, entries: list[Entry[P]]) -> list[Entry[P]]:
        """What has yet to arrive of parcels that were sent without an answer."""
        parcels = _parcels(entries)
        arrived = self._carrier.arrived(parcels)
        over = self._closing or self._gone
        while arrived < len(parcels) and self._late > 0 and not over:
            self._rest(SETTLE * self._pace)
            arrived = self._carrier.arrived(parcels)
            self._late -= SETTLE
            over = self._closing or self._gone
        self._late, self._unsure = 0.0, False
        self._settle(entries[:arrived])
        return entries[arrived:]

    def _wait(self, entries: list[Entry[P]], error: ServiceUnavailable) -> None:
        """Have parcels come back after a while, unless it is they who are to blame."""
        if self._away_since is None:
            self._away_since = time.monotonic()
            self._carrier.on_wait(error)
        if not self._carrier.is_poison(_parcels(entries), error):
            self._come_back(entries)
            self._rest(max(next(self._tries), error.retry_after or 0.0) * self._pace)
            return
        self._is_back()
        if len(entries) > 1:
            self._split(entries)
        else:
            self._give_up(entries, str(error))

    def _is_back(self) -> None:
        self._tries = pauses()
        if self._away_since is not None:
            seconds, self._away_since = time.monotonic() - self._away_since, None
            self._carrier.on_back(seconds)

    def _next(self) -> list[Entry[P]] | None:
        """Take what goes out together; None when there is nothing more to do."""
        while True:
            with self._changed:
                while not self._must_go():
                    if self._closing:
                        return None
                    self._changed.wait(self._patience())
                if self._closing:
                    return None
                if self._returned or not self._backlog.wants_fetching:
                    self._busy = True
                    return self._take()
            self._fetch()

    def _fetch(self) -> None:
        """Read on from the disk, without the lock: `put` never waits for that."""
        put_in = self._backlog.fetch()
        with self._changed:
            lost = put_in()
            self._changed.notify_all()
        if lost:
            self._carrier.on_loss(lost)

    def _must_go(self) -> bool:
        left = self._patience()
        return left is not None and left <= 0

    def _patience(self) -> float | None:
        """Seconds until the head of the lane must go; None when there is nothing."""
        if self._returned:
            return 0.0
        waiting = len(self._backlog)
        if not waiting:
            return None
        if self._hurry or waiting >= self._batch.enough:
            return 0.0
        return self._backlog.oldest + self._batch.age - time.monotonic()

    def _take(self) -> list[Entry[P]]:
        """What goes out now; what came back goes as it was, to be recognised."""
        if self._returned:
            return self._returned.popleft()
        batch = self._batch
        entries = self._backlog.take(most=batch.most, weight=batch.weight)
        self._under_way = len(entries)
        return entries

    def _come_back(self, *batches: list[Entry[P]]) -> None:
        """Put batches back to the head."""
        with self._changed:
            self._busy = False
            if self._gone:
                self._under_way = 0
            else:
                self._returned.extendleft(reversed([part for part in batches if part]))
            self._changed.notify_all()

    def _split(self, entries: list[Entry[P]]) -> None:
        """Have the halves go one after the other, to find out whose fault it is."""
        middle = len(entries) // 2
        self._come_back(entries[:middle], entries[middle:])

    def _give_up(self, entries: list[Entry[P]], words: str) -> None:
        self._carrier.on_refusal(_parcels(entries), words)
        self._over(entries)

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._gone, seconds)

    def _over(self, entries: list[Entry[P]]) -> None:
        """Parcels are delivered or given up."""
        self._settle(entries)
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _settle(self, entries: list[Entry[P]]) -> None:
        self._backlog.settle(entries)
        with self._changed:
            self._under_way = max(0, self._under_way - len(entries))


def _parcels(entries: list[Entry[P]]) -> list[P]:
    return [parcel for _, parcel in entries]
