"""More than two jobs side by side: what differs from the first one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.tools.jobs.formatting import maybe
from dioptra_worker.tools.jobs.page.compare_page import (
    IN_FULL,
    TITLES,
    section_id,
    value,
    worker_run,
)
from dioptra_worker.tools.jobs.page.drawing.charts import MAX_CHARTS, Line, chart
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join
from dioptra_worker.tools.jobs.page.layout import pill

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from dioptra_worker.tools.jobs.comparison import Comparison, Pair
    from dioptra_worker.tools.jobs.details import Details

MAX_COMPARED = 8
"""Jobs side by side: a chart has so many colours."""

_PAGE = """\
<p class="crumbs"><a href="/">All jobs</a></p>
<div class="title"><h1>Compare {count} jobs</h1></div>
{problem}{left_out}{sections}"""
_SECTION = """\
<section class="card" aria-labelledby="{id}"><h2 id="{id}">{title}
 <span class="count">{count}</span></h2>
{charts}{table}</section>"""
_TABLE = """\
<div class="wide" tabindex="0" role="group" aria-label="{title}">
<table class="several"><caption class="visually-hidden">{title}</caption>
<thead><tr><th scope="col">Name</th>{head}</tr></thead>
<tbody>{rows}</tbody></table></div>"""
_ROW = '<tr><th scope="row">{name}</th>{cells}</tr>'
_CELL = "<td>{value}</td>"
_DIFFERS = """\
<td class="{mark}"><span aria-hidden="true">{sign}</span><span
 class="visually-hidden">{words}</span> {value}</td>"""
_MARKS = {
    "differs": ("≠", "differs:"),
    "close": ("≈", "differs in last digits:"),
}


def several_page(
    jobs: Sequence[Details],
    comparisons: Sequence[Comparison],
    *,
    left_out: Sequence[int] = (),
    now: datetime,
) -> Html:
    """Jobs side by side.

    Args:
        jobs: The jobs, two at least.
        comparisons: What differs between the first one and each of the others.
        left_out: Jobs that were chosen, too, and are too many.
        now: The time.
    """
    kinds = dict.fromkeys(group.kind for it in comparisons for group in it.groups)
    chosen = [kind for kind in TITLES if kind in kinds]
    made = {kind: _section(kind, jobs, comparisons) for kind in chosen}
    same = [TITLES[kind] for kind in chosen if not made[kind]]
    sections = [_in_short(jobs, same, now), *filter(None, made.values())]
    too_many = (
        "More than {count} are not shown side by side: without {others}.".format(
            count=MAX_COMPARED, others=", ".join(f"#{id_}" for id_ in left_out)
        )
        if left_out
        else ""
    )
    reasons = dict.fromkeys(it.left_out for it in comparisons if it.left_out)
    notes = [f"Only what the REST API tells is compared: {why}." for why in reasons]
    return fill(
        _PAGE,
        count=len(jobs),
        problem=_note(too_many) if too_many else NOTHING,
        left_out=join(map(_note, notes)),
        sections=join(sections),
    )


def _note(text: str) -> Html:
    return fill('<p class="note">{text}</p>', text=text)


def _in_short(jobs: Sequence[Details], same: Sequence[str], now: datetime) -> Html:
    """What a list tells of the jobs; no difference that matters to their results."""
    rows = [
        _facts("Name", [one.job.name for one in jobs]),
        _facts("About", [one.job.description for one in jobs]),
        _facts("Status", [pill(one.job.status) for one in jobs]),
        _facts("Worker run", [worker_run(one) for one in jobs]),
        _facts("Experiment", [one.job.experiment for one in jobs]),
        _facts("User", [one.job.user for one in jobs]),
        _facts(
            "Submitted", [f"{coarse_duration(one.listed.age(now))} ago" for one in jobs]
        ),
        _facts("Took", [maybe(one.listed.took(now)) for one in jobs]),
        _facts("Beside the first", [_beside(jobs[0], one) for one in jobs]),
    ]
    return fill(
        _SECTION,
        id="short",
        title="In short",
        count="",
        charts=_note(f"The same in all: {', '.join(same)}.") if same else NOTHING,
        table=_table("In short", jobs, rows),
    )


def _beside(first: Details, other: Details) -> Html:
    """A link to what differs between two, all of it."""
    if first is other:
        return NOTHING
    return fill(
        '<a href="/compare?first={first}&amp;second={other}">compare #{other}</a>',
        first=first.job.id,
        other=other.job.id,
    )


def _facts(name: str, values: Iterable[str]) -> Html:
    cells = (fill(_CELL, value=value or "-") for value in values)
    return fill(_ROW, name=name, cells=join(cells, ""))


def _section(
    kind: str, jobs: Sequence[Details], comparisons: Sequence[Comparison]
) -> Html:
    """Everything of one kind; of what is mostly the same, what differs alone.

    Nothing where that is nothing.
    """
    pairs = [_pairs(kind, comparison) for comparison in comparisons]
    names = sorted({name for each in pairs for name in each})
    differing = [
        name
        for name in names
        if any(name in each and each[name].differs for each in pairs)
    ]
    shown = names if kind in IN_FULL else differing
    rows = [_row(name, [each.get(name) for each in pairs]) for name in shown]
    if not rows:
        return NOTHING
    title = TITLES[kind]
    of_all = f"{len(differing)} of {len(names)} differ" if differing else "the same"
    return fill(
        _SECTION,
        id=section_id(kind),
        title=title,
        count=of_all,
        charts=_charts(jobs, comparisons) if kind == "metric" else NOTHING,
        table=_table(title, jobs, rows),
    )


def _pairs(kind: str, comparison: Comparison) -> dict[str, Pair]:
    groups = (group for group in comparison.groups if group.kind == kind)
    return {pair.name: pair for group in groups for pair in group.pairs}


def _row(name: str, pairs: Sequence[Pair | None]) -> Html:
    # A comparison names what one of its two jobs has: where it names nothing, neither
    # has it, and the first one has it as any other comparison says.
    first = next((pair.first for pair in pairs if pair is not None), "")
    cells = [fill(_CELL, value=value(first))]
    for pair in pairs:
        mark = _mark(pair)
        shown = value(pair.second if pair is not None else "")
        if not mark:
            cells.append(fill(_CELL, value=shown))
            continue
        sign, words = _MARKS[mark]
        cells.append(fill(_DIFFERS, mark=mark, sign=sign, words=words, value=shown))
    return fill(_ROW, name=name or "whole", cells=join(cells, ""))


def _mark(pair: Pair | None) -> str:
    if pair is None:
        return ""
    if pair.within_tolerance:
        return "close"
    return "differs" if pair.differs else ""


def _charts(jobs: Sequence[Details], comparisons: Sequence[Comparison]) -> Html:
    """Each metric that has a course, of all jobs in one chart."""
    metrics = [comparisons[0].metrics[0], *(it.metrics[1] for it in comparisons)]
    names = sorted({name for of_job in metrics for name in of_job})
    drawn = [
        chart(name, _lines(name, jobs, metrics), titled=True)
        for name in names
        if len({step for of_job in metrics for step in of_job.get(name, {})}) > 1
    ]
    return fill('<div class="charts">{drawn}</div>', drawn=join(drawn[:MAX_CHARTS]))


def _lines(
    name: str,
    jobs: Sequence[Details],
    metrics: Sequence[Mapping[str, Mapping[int, float]]],
) -> list[Line]:
    return [
        Line(f"#{one.job.id}", tuple(sorted(of_job[name].items())))
        for one, of_job in zip(jobs, metrics, strict=True)
        if name in of_job
    ]


def _table(title: str, jobs: Sequence[Details], rows: Iterable[Html]) -> Html:
    head = (
        fill('<th scope="col"><a href="/jobs/{id}">#{id}</a></th>', id=one.job.id)
        for one in jobs
    )
    return fill(_TABLE, title=title, head=join(head, ""), rows=join(rows))
