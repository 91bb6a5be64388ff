"""A queue of parcels and the thread that delivers them: in order, and patiently."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from dioptra_worker.api.patience import pauses
from dioptra_worker.errors import NotFound, ServiceRefused, ServiceUnavailable

if TYPE_CHECKING:
    from types import TracebackType

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


class Carrier(Protocol[P]):
    """Knows the parcels of one lane."""

    def deliver(self, parcels: list[P]) -> None:
        """Deliver parcels that go out together.

        Raises:
            ServiceUnavailable: They are tried again.
            NotFound: Nobody is there any more: all parcels are thrown away.
            ServiceRefused: These parcels are given up.
        """
        ...

    def arrived(self, parcels: list[P]) -> bool:
        """Whether parcels whose delivery had no answer have arrived after all."""
        ...

    def is_poison(self, parcels: list[P], error: ServiceUnavailable) -> bool:
        """Whether the failure is these parcels' fault and not the service's."""
        ...

    def weight(self, parcel: P) -> int:
        """What a parcel weighs."""
        ...

    def on_wait(self, error: ServiceUnavailable) -> None:
        """Told once when waiting begins."""
        ...

    def on_refusal(self, parcels: list[P], words: str) -> None:
        """Told what will never be delivered."""
        ...

    def on_gone(self) -> None:
        """Told when nobody is there any more."""
        ...


class Lane(Generic[P]):
    """One lane; `put` returns at once, the thread does the rest."""

    def __init__(
        self, name: str, carrier: Carrier[P], *, batch: Batch, pace: float = 1.0
    ) -> None:
        """Prepare; entering starts the thread.

        Args:
            name: For the thread.
            carrier: Knows the parcels.
            batch: What goes out together.
            pace: What pauses between two tries are multiplied with.
        """
        self._carrier = carrier
        self._batch = batch
        self._pace = pace
        self._under_way = 0
        self._load = 0
        self._let_go = False
        self._parcels: deque[tuple[float, P]] = deque()
        self._returned: list[P] = []
        self._busy = False
        self._hurry = False
        self._closing = False
        self._gone = False
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
        return len(self._parcels) + self._under_way

    @property
    def load(self) -> int:
        """What the parcels that wait weigh, those under way not included."""
        return self._load

    def put(self, parcel: P) -> None:
        """Leave a parcel."""
        with self._changed:
            if self._gone:
                return
            self._parcels.append((time.monotonic(), parcel))
            self._load += self._carrier.weight(parcel)
            if len(self._parcels) in (1, self._batch.enough):
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
            self._parcels.clear()
            self._load = 0
            self._returned.clear()
            if not self._busy:
                self._under_way = 0
            self._changed.notify_all()

    def _is_empty(self) -> bool:
        return not self._parcels and not self._returned and not self._busy

    # -- the thread ------------------------------------------------------------

    def _work(self) -> None:
        tries = pauses()
        waiting = False
        while (parcels := self._next()) is not None:
            try:
                if not (waiting and self._carrier.arrived(parcels)):
                    self._carrier.deliver(parcels)
            except ServiceUnavailable as error:
                if not waiting:
                    self._carrier.on_wait(error)
                waiting = True
                if self._carrier.is_poison(parcels, error):
                    self._carrier.on_refusal(parcels, str(error))
                else:
                    self._come_back(parcels)
                    self._rest(max(next(tries), error.retry_after or 0.0) * self._pace)
                    continue
            except NotFound:
                self._carrier.on_gone()
            except ServiceRefused as error:
                self._carrier.on_refusal(parcels, str(error))
            except Exception as error:
                log.exception("a parcel is lost")
                self._carrier.on_refusal(parcels, repr(error))
            waiting = False
            tries = pauses()
            self._done()

    def _next(self) -> list[P] | None:
        """Take what goes out together; None when there is nothing more to do."""
        with self._changed:
            while not self._closing:
                wait = self._wait_for_company()
                if wait is not None and wait <= 0:
                    self._busy = True
                    return self._take()
                self._changed.wait(wait)
            return None

    def _wait_for_company(self) -> float | None:
        """Seconds until the head of the lane must go; None when there is nothing."""
        if self._returned:
            return 0.0
        if not self._parcels:
            return None
        if self._hurry or len(self._parcels) >= self._batch.enough:
            return 0.0
        return self._parcels[0][0] + self._batch.age - time.monotonic()

    def _take(self) -> list[P]:
        """What goes out now; what came back goes as it was, to be recognised."""
        if self._returned:
            parcels, self._returned = self._returned, []
            return parcels
        parcels = []
        weight = 0
        while self._parcels and len(parcels) < self._batch.most:
            more = self._carrier.weight(self._parcels[0][1])
            if parcels and weight + more > self._batch.weight:
                break
            weight += more
            parcels.append(self._parcels.popleft()[1])
        self._load -= weight
        self._under_way = len(parcels)
        return parcels

    def _come_back(self, parcels: list[P]) -> None:
        with self._changed:
            self._busy = False
            if self._gone:
                self._under_way = 0
                self._changed.notify_all()
            else:
                self._returned = parcels

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._gone, seconds)

    def _done(self) -> None:
        with self._changed:
            self._busy = False
            self._under_way = 0
            self._changed.notify_all()
