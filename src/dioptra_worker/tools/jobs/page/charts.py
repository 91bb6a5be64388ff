"""Metrics as small drawings: SVG in the page, coloured by its style sheet."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING

from dioptra_worker.tools.jobs.page.html import Html, fill, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.api.models import MetricPoint

_WIDTH, _HEIGHT, _EDGE = 240.0, 72.0, 5.0
_MAX_POINTS = 400
"""Points of a line; there are no more columns to draw them in."""

_CHART = """\
<figure class="chart"><figcaption>{name} <strong>{last}</strong></figcaption>
<svg viewBox="0 0 {width} {height}" role="img" aria-label="{words}">
<line class="base" x1="0" x2="{width}" y1="{base}" y2="{base}"></line>
<polyline points="{points}"></polyline>
<circle cx="{x}" cy="{y}" r="3"></circle></svg>
<p class="range"><span>{first} at step {begin}</span><span>step {end}</span></p>
</figure>"""

_TILE = (
    '<figure class="chart tile"><figcaption>{name}</figcaption>'
    "<strong>{last}</strong></figure>"
)


def charts(points: Sequence[MetricPoint]) -> Html:
    """One drawing for each metric.

    Args:
        points: The values, sorted by name and step.
    """
    return join(
        _chart(name, list(series))
        for name, series in groupby(points, key=lambda point: point.name)
    )


def _chart(name: str, series: list[MetricPoint]) -> Html:
    drawn = _thinned([point for point in series if math.isfinite(point.value)])
    last = f"{series[-1].value:.4g}"
    if len(drawn) < 2:
        return fill(_TILE, name=name, last=last)
    low = min(point.value for point in drawn)
    high = max(point.value for point in drawn)
    begin, end = drawn[0].step, drawn[-1].step
    places = [
        (
            _scaled(point.step, begin, end, _EDGE, _WIDTH - _EDGE),
            _scaled(point.value, low, high, _HEIGHT - _EDGE, _EDGE),
        )
        for point in drawn
    ]
    words = (
        f"{name}: {len(series)} values, from {series[0].value:.4g} to {last},"
        f" lowest {low:.4g}, highest {high:.4g}"
    )
    x, y = places[-1]
    return fill(
        _CHART,
        name=name,
        last=last,
        first=f"{series[0].value:.4g}",
        begin=begin,
        end=end,
        words=words,
        width=f"{_WIDTH:g}",
        height=f"{_HEIGHT:g}",
        base=f"{_HEIGHT - 1:g}",
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places),
        x=f"{x:.1f}",
        y=f"{y:.1f}",
    )


def _thinned(series: list[MetricPoint]) -> list[MetricPoint]:
    """At most so many of them, the last one always."""
    stride = math.ceil(len(series) / _MAX_POINTS) or 1
    kept = series[::stride]
    return kept if not series or kept[-1] is series[-1] else [*kept, series[-1]]


def _scaled(value: float, low: float, high: float, bottom: float, top: float) -> float:
    """Where a value lies between two edges; in the middle when there is but one."""
    spread = high - low
    share = 0.5 if spread == 0 or not math.isfinite(spread) else (value - low) / spread
    return bottom + share * (top - bottom)
