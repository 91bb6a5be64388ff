"""What a queue asks of whoever knows its items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from dioptra_worker.errors import ServiceRefused, ServiceUnavailable

P = TypeVar("P")

LATE_ARRIVAL_WINDOW = 2.0
"""Seconds in which a request that was given up may still arrive."""


class Sender(Protocol[P]):
    """Knows the items of one queue."""

    def deliver(self, items: list[P]) -> None:
        """Deliver items that go out together.

        Raises:
            ServiceUnavailable: They are tried again.
            NotFound: Nobody is there any more: all items are thrown away.
            ServiceRefused: These items are given up.
        """
        ...

    def count_delivered(self, items: list[P]) -> int:
        """How many, from the first, of items without an answer have arrived."""
        ...

    def late_window(self, items: list[P], error: ServiceUnavailable) -> float:
        """Seconds in which what failed may still arrive, and would be there twice."""
        ...

    def is_poison(self, items: list[P], error: ServiceUnavailable) -> bool:
        """Whether the failure is these items' fault and not the service's."""
        ...

    def is_item_rejected(self, error: ServiceRefused) -> bool:
        """Whether a refusal of many may be the fault of one of them."""
        ...

    def weight(self, item: P) -> int:
        """What an item weighs."""
        ...

    def on_wait(self, error: ServiceUnavailable) -> None:
        """Told once when waiting begins."""
        ...

    def on_back(self, seconds: float) -> None:
        """Told once when waiting has ended, after how long."""
        ...

    def on_refusal(self, items: list[P], words: str) -> None:
        """Told what will never be delivered."""
        ...

    def on_loss(self, count: int) -> None:
        """Told how many items could not be read back from the disk."""
        ...

    def on_gone(self) -> None:
        """Told when nobody is there any more."""
        ...
