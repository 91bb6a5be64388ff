"""Metrics as drawings with axes: SVG in the page, coloured by its style sheet.

A drawing is stretched to its place and its words are not: lines lie in a picture of
1000 by 1000 units, and everything else at shares of the place. `static/charts.js` tells
the values under the pointer, or of a slider for keyboards; a table has them for
everybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal, get_args

from dioptra_worker.tools.jobs.page.drawing.scales import Axis, axis
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dioptra_worker.api.models import MetricPoint
    from dioptra_worker.tools.jobs.page.drawing.scales import Kind

Scale = Literal["values", "logarithm", "each"]
"""How values lie over each other: as they are, by their logarithm, or each line from
its own lowest to its highest."""
SCALES: tuple[Scale, ...] = get_args(Scale)
MAX_CHARTS = 30
"""Drawings of a page; what is beyond has its last values in a table."""
_MAX_POINTS = 400
"""Points of a line; there are no more columns to draw them in."""
_MAX_ROWS = 40
"""Rows of a table."""
_MAX_STEP = 1 << 62
_STYLES = 8
"""Lines that look differently; the next ones look like the first."""

_CHART = """\
<figure class="chart{size}">
<figcaption>{caption}<span class="keys">{keys}</span>
<span class="at">{at}</span></figcaption>
<div class="axes"><svg class="y-axis" aria-hidden="true">{y_labels}</svg>
<svg class="plot" role="img" aria-label="{words}">{grid}
<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%">
{lines}</svg>
<line class="pointer" x1="0" x2="0" y1="0" y2="100%"></line>{dots}</svg>
<span class="x-name" aria-hidden="true">step</span>
<svg class="x-axis" aria-hidden="true">{x_labels}</svg>
<input class="slider" type="range" min="0" max="{last}" value="{last}"
 aria-label="Step of {title}" data-steps="{steps}"></div>
{note}{table}</figure>"""

_TILE = (
    '<figure class="chart tile"><figcaption>{name}</figcaption>'
    "<strong>{last}</strong></figure>"
)
_KEY = (
    '<span class="key"><svg class="sample s{style}" aria-hidden="true">'
    '<line x1="0" x2="100%" y1="50%" y2="50%"></line></svg>'
    '<span class="label" title="{label}">{label}</span> <strong>{last}</strong></span>'
)
_LINE = (
    '<polyline class="s{style}" points="{points}" data-label="{label}"'
    ' data-steps="{steps}" data-values="{values}"></polyline>'
)
_TABLE = """\
<details class="numbers"><summary>As a table</summary>
<div class="wide" tabindex="0" role="group" aria-label="Values of {title}"><table>
<thead><tr><th scope="col">Step</th>{heads}</tr></thead>
<tbody>{rows}</tbody></table></div>{note}</details>"""


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        label: Its name.
        points: Its values by step, in order.
    """

    label: str
    points: tuple[tuple[int, float], ...]

    @property
    def drawable(self) -> Line:
        """The same without what is no number, or at no step that can be drawn."""
        return Line(
            self.label,
            tuple(
                (step, value)
                for step, value in self.points
                if math.isfinite(value) and abs(step) < _MAX_STEP
            ),
        )


def lines_of(points: Iterable[MetricPoint]) -> list[Line]:
    """A line for each metric.

    Args:
        points: The values, sorted by name and step.
    """
    return [
        Line(name, tuple((point.step, point.value) for point in series))
        for name, series in groupby(points, key=lambda point: point.name)
    ]


def charts(points: Sequence[MetricPoint]) -> Html:
    """One drawing for each metric.

    Args:
        points: The values, sorted by name and step.
    """
    lines = lines_of(points)
    return join(chart(line.label, [line]) for line in lines[:MAX_CHARTS])


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    scale: Scale = "values",
    large: bool = False,
    titled: bool = False,
) -> Html:
    """Some lines over each other; a single value is a number.

    Args:
        title: What they show.
        lines: The lines; each has a value at least.
        scale: How their values lie over each other.
        large: Whether the drawing has the page's whole width.
        titled: Whether the title stands above, where the lines' names do not say it.
    """
    drawn = [_thinned(_scalable(line.drawable, scale)) for line in lines]
    steps = sorted({step for line in drawn for step, _ in line.points})
    if len(lines) == 1 and len(steps) < 2:
        return fill(_TILE, name=title, last=_last(lines[0]))
    if not steps:
        return fill('<p class="note">{title}: no value can be drawn.</p>', title=title)
    return _drawing(title, lines, drawn, steps, scale, large=large, titled=titled)


def _drawing(
    title: str,
    lines: Sequence[Line],
    drawn: Sequence[Line],
    steps: Sequence[int],
    scale: Scale,
    *,
    large: bool,
    titled: bool,
) -> Html:
    x = axis(steps, whole=True)
    axes = _value_axes(drawn, scale)
    shared = axes[0] if scale != "each" else Axis(0, 1, (0, 1))
    y_labels = ("lowest", "highest") if scale == "each" else shared.labels()
    marks = [(f"{100 - 100 * shared.share(tick):.4g}%", tick) for tick in shared.ticks]
    left_out = sum(len(line.points) for line in lines) - sum(
        len(_scalable(line.drawable, scale).points) for line in lines
    )
    note = fill(
        '<p class="note">{count} values cannot be drawn here.</p>', count=left_out
    )
    return fill(
        _CHART,
        title=title,
        caption=fill('<span class="name">{title}</span> ', title=title)
        if titled
        else NOTHING,
        size=" large" if large else "",
        keys=join(_key(line, number) for number, line in enumerate(lines)),
        at=f"at step {steps[-1]}",
        words=_words(title, lines),
        y_labels=join(
            fill('<text x="100%" y="{y}" dy="0.32em">{text}</text>', y=y, text=text)
            for (y, _), text in zip(marks, y_labels, strict=True)
        ),
        grid=join(
            fill('<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"></line>', y=y)
            for y, _ in marks
        ),
        x_labels=_step_labels(x),
        lines=join(
            _polyline(line, number, x, y)
            for number, (line, y) in enumerate(zip(drawn, axes, strict=True))
        ),
        dots=join(
            _dot(line, number, x, y)
            for number, (line, y) in enumerate(zip(drawn, axes, strict=True))
        ),
        last=len(steps) - 1,
        steps=" ".join(map(str, steps)),
        note=note if left_out else NOTHING,
        table=_table(title, lines),
    )


def _value_axes(lines: Sequence[Line], scale: Scale) -> list[Axis]:
    """The axis of each line's values: one for all, or each its own."""
    series = [[value for _, value in line.points] for line in lines]
    if scale == "each":
        return [_exact(values) for values in series]
    kind: Kind = "logarithmic" if scale == "logarithm" else "linear"
    together = axis([value for values in series for value in values], kind)
    return [together] * len(lines)


def _exact(values: Sequence[float]) -> Axis:
    """From the lowest to the highest; what does not change lies in the middle."""
    if not values or min(values) == max(values):
        return axis(values or (0.0,))
    return Axis(min(values), max(values), ())


def _step_labels(x: Axis) -> Html:
    def one(tick: float) -> Html:
        share = x.share(tick)
        anchor = "start" if share < 0.05 else "end" if share > 0.95 else "middle"
        return fill(
            '<text x="{x}%" y="1em" text-anchor="{anchor}">{step}</text>',
            x=f"{100 * share:.4g}",
            anchor=anchor,
            step=f"{tick:.0f}" if abs(tick) < 1e6 else f"{tick:.4g}",
        )

    return join(one(tick) for tick in x.ticks)


def _key(line: Line, number: int) -> Html:
    return fill(_KEY, style=number % _STYLES, label=line.label, last=_last(line))


def _polyline(line: Line, number: int, x: Axis, y: Axis) -> Html:
    return fill(
        _LINE,
        style=number % _STYLES,
        label=line.label,
        points=" ".join(
            f"{1000 * x.share(step):.1f},{1000 - 1000 * y.share(value):.1f}"
            for step, value in line.points
        ),
        steps=" ".join(str(step) for step, _ in line.points),
        values=" ".join(f"{value:.4g}" for _, value in line.points),
    )


def _dot(line: Line, number: int, x: Axis, y: Axis) -> Html:
    if not line.points:
        return Html('<circle r="0"></circle>')
    step, value = line.points[-1]
    return fill(
        '<circle class="s{style}" cx="{x}%" cy="{y}%" r="3.5"></circle>',
        style=number % _STYLES,
        x=f"{100 * x.share(step):.4g}",
        y=f"{100 - 100 * y.share(value):.4g}",
    )


def _words(title: str, lines: Sequence[Line]) -> str:
    """A chart in a sentence."""
    return f"{title}: " + "; ".join(
        (f"{line.label}: " if len(lines) > 1 else "") + _summary(line) for line in lines
    )


def _summary(line: Line) -> str:
    values = [value for _, value in line.drawable.points]
    if not values:
        return "no value that can be drawn"
    return (
        f"{len(line.points)} values, from {line.points[0][1]:.4g} to {_last(line)},"
        f" lowest {min(values):.4g}, highest {max(values):.4g}"
    )


def _table(title: str, lines: Sequence[Line]) -> Html:
    """The same for who does not see it; of many steps some, the last among them."""
    found = [dict(line.points) for line in lines]
    steps = sorted({step for values in found for step in values})
    stride = math.ceil(len(steps) / _MAX_ROWS)
    kept = steps[::-1][::stride][::-1]
    note = fill('<p class="note">This is one step of {n}.</p>', n=stride)
    return fill(
        _TABLE,
        title=title,
        heads=join(
            fill('<th scope="col">{label}</th>', label=line.label) for line in lines
        ),
        rows=join(
            fill(
                '<tr><th scope="row">{step}</th>{cells}</tr>',
                step=step,
                cells=join(_cell(values.get(step)) for values in found),
            )
            for step in kept
        ),
        note=note if stride > 1 else NOTHING,
    )


def _cell(value: float | None) -> Html:
    return fill("<td>{text}</td>", text="" if value is None else f"{value:.6g}")


def _last(line: Line) -> str:
    return f"{line.points[-1][1]:.4g}" if line.points else "-"


def _scalable(line: Line, scale: Scale) -> Line:
    """What of a line a scale has a place for."""
    if scale != "logarithm":
        return line
    return Line(line.label, tuple(it for it in line.points if it[1] > 0))


def _thinned(line: Line) -> Line:
    """At most so many points, so that nothing that stands out is lost.

    Of each stretch the lowest and the highest are kept, and of all the first and last.
    """
    points = line.points
    if len(points) <= _MAX_POINTS:
        return line
    stride = math.ceil(len(points) / (_MAX_POINTS // 2 - 1))
    kept = {points[0], points[-1]}
    for begin in range(0, len(points), stride):
        stretch = points[begin : begin + stride]
        kept.add(min(stretch, key=lambda point: point[1]))
        kept.add(max(stretch, key=lambda point: point[1]))
    return Line(line.label, tuple(sorted(kept)))
