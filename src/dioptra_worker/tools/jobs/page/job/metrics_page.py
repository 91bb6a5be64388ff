"""The metrics of one job over each other, chosen and scaled by a form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.tools.jobs.page.drawing.charts import (
    MAX_CHARTS,
    SCALES,
    chart,
    charts,
    lines_of,
)
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dioptra_worker.api.models import MetricPoint
    from dioptra_worker.tools.jobs.page.drawing.charts import Line, Scale

_AT_FIRST = 6
"""Lines that are drawn before any is chosen."""
_SCALE_WORDS = {
    "values": "as they are",
    "logarithm": "by their logarithm",
    "each": "each from its lowest to its highest",
}

_PAGE = """\
<p class="crumbs"><a href="/">All jobs</a> / <a href="/jobs/{id}">{name} #{id}</a></p>
<div class="title"><h1>Metrics of {name} <span class="id">#{id}</span></h1></div>
<form class="card filters" method="get" action="/jobs/{id}/metrics">
<fieldset class="choices"><legend>Metrics</legend>{boxes}</fieldset>
<div class="field short"><label for="scale">Values</label>
<select id="scale" name="scale">{scales}</select></div>
<div class="actions"><button type="submit" class="primary">Draw</button></div>
</form>
<section class="card" aria-label="Chart">{drawn}</section>"""


def metrics_section(job_id: int, points: Sequence[MetricPoint]) -> Html:
    """The metrics on a job's page, each a drawing, and the way to have them in one."""
    lines = lines_of(points)
    rest = lines[MAX_CHARTS:]
    return fill(
        '<div class="charts">{charts}</div>{rest}{link}',
        charts=charts(points),
        rest=fill(
            '<p class="note">{count} more metrics are not drawn here.</p>',
            count=len(rest),
        )
        if rest
        else NOTHING,
        link=fill(
            '<p class="more"><a href="/jobs/{id}/metrics">Draw metrics over each other'
            "</a></p>",
            id=job_id,
        )
        if len(lines) > 1
        else NOTHING,
    )


def metrics_page(
    job_id: int, name: str, points: Sequence[MetricPoint], query: Mapping[str, str]
) -> Html:
    """The page of a job's metrics.

    Args:
        job_id: The job.
        name: What it is called.
        points: The values, sorted by name and step.
        query: The metrics that were chosen, and their *scale*.
    """
    lines = lines_of(points)
    chosen = {value for key, value in query.items() if key.startswith("metric")}
    shown = [line for line in lines if line.label in chosen]
    shown = shown or _comparable(lines)
    scale = next((it for it in SCALES if it == query.get("scale")), SCALES[0])
    return fill(
        _PAGE,
        id=job_id,
        name=name,
        boxes=join(
            _box(number, line, checked=line in shown)
            for number, line in enumerate(lines)
        ),
        scales=join(_option(it, chosen=it == scale) for it in SCALES),
        drawn=chart("metrics", shown, scale=scale, large=True)
        if shown
        else Html('<p class="empty">This job has no metrics yet.</p>'),
    )


def _comparable(lines: Sequence[Line]) -> list[Line]:
    """What to draw at first: some with more than one value, if there are any."""
    series = [line for line in lines if len(line.points) > 1]
    return (series or list(lines))[:_AT_FIRST]


def _box(number: int, line: Line, *, checked: bool) -> Html:
    return fill(
        '<label><input type="checkbox" name="metric{number}" value="{name}"{checked}>'
        " {name}</label>",
        number=number,
        name=line.label,
        checked=Html(" checked") if checked else NOTHING,
    )


def _option(scale: Scale, *, chosen: bool) -> Html:
    return fill(
        '<option value="{scale}"{selected}>{words}</option>',
        scale=scale,
        words=_SCALE_WORDS[scale],
        selected=Html(" selected") if chosen else NOTHING,
    )
