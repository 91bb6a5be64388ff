"""Where values lie on an axis, and at which of them it is labelled; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["linear", "logarithmic"]
_TICKS = 5
"""About so many parts has an axis."""
_MAX_TICKS = 12


@dataclass(frozen=True)
class Axis:
    """An axis of a chart.

    Attributes:
        low: The value at its beginning.
        high: The value at its end, which is larger.
        ticks: The values that are labelled, in order.
        logarithmic: Whether equal lengths are equal factors; all values are positive.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, from 0 at the beginning to 1 at the end."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        if not math.isfinite(high - low):  # then in quarters
            value, low, high = value / 4, low / 4, high / 4
        return (value - low) / (high - low)

    def labels(self) -> tuple[str, ...]:
        """What stands at the ticks: as many digits as tell them apart."""
        for digits in (4, 6, 9, 12, 17):
            texts = tuple(f"{tick:.{digits}g}" for tick in self.ticks)
            if len(set(texts)) == len(texts):
                break
        return texts


def axis(
    values: Sequence[float], kind: Kind = "linear", *, whole: bool = False
) -> Axis:
    """An axis on which values have room, from one round number to another.

    Args:
        values: Finite numbers, one at least; positive on a logarithmic axis.
        kind: How they are spread out.
        whole: Whether nothing is between two whole numbers, as with steps; then the
            axis ends where the values do.
    """
    low, high = min(values), max(values)
    if low == high:
        return _around(low, whole=whole)
    if kind == "logarithmic":
        return _logarithmic(low, high)
    step = _round_step(high / _TICKS - low / _TICKS, whole=whole)
    if whole:
        step = max(step, 1.0)
    if not math.isfinite(step) or step <= 0:
        return Axis(low, high, (low, high))
    first, last = math.floor(low / step), math.ceil(high / step)
    if whole:
        first, last = math.ceil(low / step), math.floor(high / step)
    if not last - first <= _MAX_TICKS:
        return Axis(low, high, (low, high))
    ticks = tuple(number * step for number in range(first, last + 1))
    if whole:
        return Axis(low, high, ticks)
    if not all(map(math.isfinite, ticks)) or len(set(ticks)) < 2:
        return Axis(low, high, (low, high))
    return Axis(ticks[0], ticks[-1], ticks)


def _around(value: float, *, whole: bool) -> Axis:
    """An axis with one value, in its middle."""
    room = 1.0 if whole or value == 0 else abs(value) / 2
    low, high = value - room, value + room
    if not low < value < high or not math.isfinite(low + high):
        low, high = min(0.0, value), max(1.0, value)
    return Axis(low, high, (value,))


def _logarithmic(low: float, high: float) -> Axis:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    stride = math.ceil(len(powers) / (_TICKS + 1))
    ticks = [10.0**power for power in powers[::stride] if abs(power) < 308]
    ticks = [tick for tick in ticks if low <= tick <= high]
    apart = math.log(low) < math.log(high)
    return Axis(low, high, tuple(ticks) or (low, high), logarithmic=apart)


def _round_step(size: float, *, whole: bool) -> float:
    """Of 1, 2, 2.5, 5, 10, 20, ... in any power of ten, the nearest."""
    try:
        power = 10.0 ** math.floor(math.log10(size))
    except (ValueError, OverflowError):
        return 0.0
    if power == 0:
        return 0.0
    for limit, factor in ((1.4, 1.0), (2.2, 2.0), (3.5, 2.5), (7.0, 5.0)):
        if size < limit * power and (not whole or (factor * power).is_integer()):
            return factor * power
    return 10 * power
