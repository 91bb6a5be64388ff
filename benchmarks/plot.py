"""Bar charts as SVG, the same text for the same numbers on every machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LABELS, _BARS, _VALUES = 330, 420, 90
_ROW, _BAR, _TOP, _BOTTOM = 24, 14, 44, 34
_WIDTH = _LABELS + _BARS + _VALUES
_GOOD, _BAD, _INK, _FAINT = "#2a7f62", "#b4472f", "#222222", "#cccccc"


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: What it is of.
        value: How long it is.
        text: The value in words.
        good: Whether it is coloured as good.
    """

    label: str
    value: float
    text: str
    good: bool = True


def linear(title: str, bars: Sequence[Bar]) -> str:
    """Bars from nothing on."""
    longest = max((bar.value for bar in bars), default=1.0) or 1.0
    return _chart(title, bars, place=lambda value: value / longest, ticks=[])


def logarithmic(title: str, bars: Sequence[Bar]) -> str:
    """Bars to both sides of 1, on a logarithmic scale."""
    values = [bar.value for bar in bars] or [1.0]
    low = math.floor(min(0.0, *map(math.log10, values)))
    high = math.ceil(max(1.0, *map(math.log10, values)))

    def place(value: float) -> float:
        return (math.log10(value) - low) / (high - low)

    ticks = [10.0**power for power in range(low, high + 1)]
    return _chart(title, bars, place=place, ticks=ticks, origin=place(1.0))


def _chart(
    title: str,
    bars: Sequence[Bar],
    *,
    place: Callable[[float], float],
    ticks: Sequence[float],
    origin: float = 0.0,
) -> str:
    height = _TOP + _ROW * len(bars) + _BOTTOM
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}"'
            f' height="{height}" viewBox="0 0 {_WIDTH} {height}" role="img"'
            f' font-family="sans-serif" font-size="13" aria-label="{escape(title)}">'
        ),
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_WIDTH / 2, 24, title, anchor="middle", weight="bold"),
    ]
    bottom = _TOP + _ROW * len(bars)
    for tick in ticks:
        x = _x(place(tick))
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"'
            f' stroke="{_FAINT}"/>'
        )
        parts.append(_text(x, bottom + 18, f"{tick:g} ×", anchor="middle"))
    for index, bar in enumerate(bars):
        parts += _bar(bar, _TOP + _ROW * index, place(bar.value), origin)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _bar(bar: Bar, top: float, end: float, origin: float) -> list[str]:
    left, right = sorted((_x(origin), _x(end)))
    middle = top + _ROW / 2 + 4
    return [
        _text(_LABELS - 10, middle, bar.label, anchor="end"),
        (
            f'<rect x="{left:.1f}" y="{top + (_ROW - _BAR) / 2:.1f}"'
            f' width="{max(right - left, 1.0):.1f}" height="{_BAR}"'
            f' fill="{_GOOD if bar.good else _BAD}"/>'
        ),
        _text(right + 6, middle, bar.text),
    ]


def _x(share: float) -> float:
    return _LABELS + share * _BARS


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}"'
        f' font-weight="{weight}">{escape(text)}</text>'
    )
