"""What a lane asks of whoever knows its parcels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from dioptra_worker.errors import ServiceRefused, ServiceUnavailable

P = TypeVar("P")

SETTLE = 2.0
"""Seconds in which a request that was given up may still arrive."""


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

    def arrived(self, parcels: list[P]) -> int:
        """How many, from the first, of parcels without an answer have arrived."""
        ...

    def lateness(self, parcels: list[P], error: ServiceUnavailable) -> float:
        """Seconds in which what failed may still arrive, and would be there twice."""
        ...

    def is_poison(self, parcels: list[P], error: ServiceUnavailable) -> bool:
        """Whether the failure is these parcels' fault and not the service's."""
        ...

    def is_ones_fault(self, error: ServiceRefused) -> bool:
        """Whether a refusal of many may be the fault of one of them."""
        ...

    def weight(self, parcel: P) -> int:
        """What a parcel weighs."""
        ...

    def on_wait(self, error: ServiceUnavailable) -> None:
        """Told once when waiting begins."""
        ...

    def on_back(self, seconds: float) -> None:
        """Told once when waiting has ended, after how long."""
        ...

    def on_refusal(self, parcels: list[P], words: str) -> None:
        """Told what will never be delivered."""
        ...

    def on_loss(self, count: int) -> None:
        """Told how many parcels could not be read back from the disk."""
        ...

    def on_gone(self) -> None:
        """Told when nobody is there any more."""
        ...
