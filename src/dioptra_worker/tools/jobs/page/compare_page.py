"""Two jobs side by side: what made them, and what came of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.tools.jobs.formatting import maybe
from dioptra_worker.tools.jobs.listing import Filter
from dioptra_worker.tools.jobs.page.drawing.charts import MAX_CHARTS, Line, chart
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join
from dioptra_worker.tools.jobs.page.layout import pill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from dioptra_worker.tools.jobs.comparison import Comparison, Group, Pair
    from dioptra_worker.tools.jobs.details import Details
    from dioptra_worker.tools.jobs.listing import Listed, Listing

_NAMES = ("first", "second")
_ID = re.compile(r"[1-9][0-9]{0,17}")
OTHERS = 12
"""Jobs that are offered to compare one with."""
_MAX_LETTERS = 2000
"""Of a value that is shown."""
TITLES = {
    "graph": "Task graph",
    "swap": "Swaps",
    "parameter": "Parameters",
    "plugin file": "Plugins",
    "package": "Packages",
    "environment": "Environment",
    "determinism": "Determinism",
    "input": "Input artifacts",
    "metric": "Metrics",
    "artifact": "Artifacts",
}
IN_FULL = frozenset({"swap", "parameter", "input", "metric", "artifact"})
"""Kinds of which all is shown; of others what is the same can be unfolded."""
_ORDER = tuple(TITLES)

_PAGE = """\
<p class="crumbs"><a href="/">All jobs</a></p>
<div class="title"><h1>{heading}</h1></div>
<form class="card filters" method="get" action="/compare" aria-label="Jobs to compare">
<div class="field"><label for="first">First job</label>
<input id="first" name="first" value="{first}" inputmode="numeric"
 autocomplete="off" required></div>
<div class="field"><label for="second">Second job</label>
<input id="second" name="second" value="{second}" inputmode="numeric"
 autocomplete="off" required></div>
<div class="actions"><button type="submit" class="primary">Compare</button>{swap}</div>
</form>
{body}"""

_OTHERS = """\
<section class="card" aria-labelledby="others"><h2 id="others">With which job?</h2>
{others}</section>"""

_IN_SHORT = """\
<section class="card" aria-labelledby="short"><h2 id="short">In short</h2>
{sentence}{left_out}
<div class="wide" tabindex="0" role="group" aria-labelledby="short">
<table class="pairs"><caption class="visually-hidden">The two jobs</caption>
<thead><tr><th scope="col">Job</th><th scope="col">{first}</th>
<th scope="col">{second}</th></tr></thead><tbody>{rows}</tbody></table></div>
</section>"""

_SECTION = """\
<section class="card" aria-labelledby="{id}"><h2 id="{id}">{title}
 <span class="count">{count}</span></h2>
{charts}{table}{rest}</section>"""

_TABLE = """\
<div class="wide" tabindex="0" role="group" aria-label="{title}"><table class="pairs">
<caption class="visually-hidden">{title}</caption>
<thead>{head}</thead><tbody>{rows}</tbody></table></div>"""

_HEAD = (
    '<tr><th scope="col">Name</th><th scope="col"><a href="/jobs/{first}">#{first}</a>'
    '</th><th scope="col"><a href="/jobs/{second}">#{second}</a></th>'
    '<th scope="col">Is it the same?</th></tr>'
)
_FACT = '<tr><th scope="row">{name}</th><td>{first}</td><td>{second}</td></tr>'
_ROW = (
    '<tr class="{mark}"><th scope="row">{name}</th><td>{first}</td><td>{second}</td>'
    '<td class="verdict">{words}</td></tr>'
)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two jobs and what differs between them."""

    first: Details
    second: Details
    comparison: Comparison

    @property
    def ids(self) -> tuple[int, int]:
        """The jobs' ids."""
        return self.first.job.id, self.second.job.id


def compare_body(
    query: Mapping[str, str],
    *,
    read: Callable[[int], Details],
    compare: Callable[[Details, Details], Comparison],
    listing: Listing,
    now: datetime,
) -> Html:
    """What is answered to who wants to compare jobs.

    Args:
        query: The *first* and the *second* job's id, as far as they are known.
        read: Reads a job.
        compare: Compares two.
        listing: The jobs.
        now: The time.

    Raises:
        NotFound: There is no such job.
        ServiceError: The API refused, or cannot be asked.
    """
    given = [query.get(name, "").strip().removeprefix("#") for name in _NAMES]
    wrong = [text for text in given if text and not _ID.fullmatch(text)]
    words = f"{wrong[0]!r} is no job's number." if wrong else ""
    if wrong or not given[0]:
        return choice_page(*given, others=(), words=words, now=now)
    first = read(int(given[0]))
    if given[1]:
        second = read(int(given[1]))
        comparison = compare(first, second)
        found = Compared(first=first, second=second, comparison=comparison)
        return compare_page(found, now=now)
    wanted = Filter(entrypoint=str(first.job.entrypoint_id))
    others = listing.find(wanted, limit=OTHERS + 1).jobs
    offered = [it for it in others if it.job.id != first.job.id][:OTHERS]
    return choice_page(*given, others=offered, words="", now=now)


def compare_page(compared: Compared, *, now: datetime) -> Html:
    """Two jobs side by side."""
    first, second = compared.first.job, compared.second.job
    heading = fill(
        "{first} and {second}", first=_link(first.id, ""), second=_link(second.id, "")
    )
    groups = sorted(
        compared.comparison.groups, key=lambda group: _ORDER.index(group.kind)
    )
    head = fill(_HEAD, first=first.id, second=second.id)
    sections = [_section(group, compared, head) for group in groups]
    swap = fill(
        '<a class="button" href="/compare?first={second}&amp;second={first}">Swap</a>',
        first=first.id,
        second=second.id,
    )
    return fill(
        _PAGE,
        heading=fill("Compare {jobs}", jobs=heading),
        first=first.id,
        second=second.id,
        swap=swap,
        body=join([_in_short(compared, groups, now), *sections]),
    )


def choice_page(
    first: str, second: str, *, others: Sequence[Listed], words: str, now: datetime
) -> Html:
    """Ask which jobs to compare.

    Args:
        first: What was given as the first.
        second: What was given as the second.
        others: Jobs to compare the first with.
        words: What is wrong with what was given; empty for nothing.
        now: The time.
    """
    lines = [
        fill(
            '<li><a href="/compare?{query}">{name} #{id}</a> {pill}'
            ' <span class="about">{age} ago {about}</span></li>',
            query=urlencode({"first": first, "second": it.job.id}),
            name=it.job.name,
            id=it.job.id,
            pill=pill(it.job.status),
            age=coarse_duration(it.age(now)),
            about=it.job.description,
        )
        for it in others
    ]
    body = fill('<ul class="others">{lines}</ul>', lines=join(lines))
    if not lines:
        body = Html('<p class="empty">There is no other job of its entrypoint.</p>')
    trouble = fill('<p class="card message" role="alert">{words}</p>', words=words)
    return fill(
        _PAGE,
        heading="Compare jobs",
        first=first,
        second=second,
        swap=NOTHING,
        body=trouble if words else fill(_OTHERS, others=body) if first else NOTHING,
    )


def _in_short(compared: Compared, groups: Sequence[Group], now: datetime) -> Html:
    parts = [
        fill(
            '<a href="#{id}">{title}: {count}</a>',
            id=section_id(group.kind),
            title=TITLES[group.kind],
            count=len(group.differing),
        )
        for group in groups
        if group.differing
    ]
    differing = fill("<p>What differs: {parts}.</p>", parts=join(parts, ", "))
    left_out = fill(
        '<p class="note">Only what the REST API tells is compared: {why}.</p>',
        why=compared.comparison.left_out,
    )
    return fill(
        _IN_SHORT,
        sentence=differing if parts else Html("<p>Nothing differs.</p>"),
        left_out=left_out if compared.comparison.left_out else NOTHING,
        first=f"#{compared.ids[0]}",
        second=f"#{compared.ids[1]}",
        rows=join(_facts(compared, now)),
    )


def _facts(compared: Compared, now: datetime) -> Iterable[Html]:
    """What a list tells of the jobs; no difference that matters to their results."""
    both = compared.first, compared.second

    def row(name: str, values: Sequence[str]) -> Html:
        return fill(_FACT, name=name, first=values[0] or "-", second=values[1] or "-")

    yield row("Name", [one.job.name for one in both])
    yield row("Status", [pill(one.job.status) for one in both])
    yield row("Worker run", [worker_run(one) for one in both])
    yield row("Experiment", [one.job.experiment for one in both])
    yield row("User", [one.job.user for one in both])
    ages = [coarse_duration(one.listed.age(now)) for one in both]
    yield row("Submitted", [f"{age} ago" for age in ages])
    yield row("Took", [maybe(one.listed.took(now)) for one in both])
    inputs = [{it.name: it.artifact_id for it in one.inputs} for one in both]
    for name in sorted(inputs[0].keys() | inputs[1].keys()):
        yield row(f"Input {name}", [_artifact(given.get(name)) for given in inputs])


def worker_run(details: Details) -> Html:
    """A link to the jobs of a job's worker run."""
    if details.worker_run is None:
        return NOTHING
    id_ = details.worker_run.id
    return fill('<a href="/?worker_run={id}"><code>{id}</code></a>', id=id_)


def _artifact(artifact_id: int | None) -> Html:
    """A link to the job that made an artifact."""
    if artifact_id is None:
        return NOTHING
    return fill('<a href="/artifacts/{id}">artifact {id}</a>', id=artifact_id)


def _section(group: Group, compared: Compared, head: Html) -> Html:
    title = TITLES[group.kind]
    in_full = group.kind in IN_FULL
    shown = group.pairs if in_full else group.differing
    same = () if in_full else [pair for pair in group.pairs if not pair.differs]
    rest = fill(
        "<details><summary>{count} that are the same</summary>{table}</details>",
        count=len(same),
        table=_table(f"{title} that are the same", same, head),
    )
    count = len(group.differing)
    return fill(
        _SECTION,
        id=section_id(group.kind),
        title=title,
        count=f"{count} of {len(group.pairs)} differ" if count else "the same",
        charts=_charts(compared) if group.kind == "metric" else NOTHING,
        table=_table(title, shown, head) if shown else NOTHING,
        rest=rest if same else NOTHING,
    )


def _charts(compared: Compared) -> Html:
    """Each metric that has a course, of both jobs in one chart."""
    first, second = compared.comparison.metrics
    ids = [f"#{id_}" for id_ in compared.ids]
    names = [
        name
        for name in sorted(first.keys() | second.keys())
        if len(first.get(name, {}).keys() | second.get(name, {}).keys()) > 1
    ]
    drawn = [
        chart(
            name,
            [
                _line(label, values[name])
                for label, values in zip(ids, (first, second), strict=True)
                if name in values
            ],
            titled=True,
        )
        for name in names[:MAX_CHARTS]
    ]
    return fill('<div class="charts">{drawn}</div>', drawn=join(drawn))


def _line(label: str, values: Mapping[int, float]) -> Line:
    return Line(label, tuple(sorted(values.items())))


def _table(title: str, pairs: Iterable[Pair], head: Html) -> Html:
    return fill(_TABLE, title=title, head=head, rows=join(map(_row, pairs)))


def _row(pair: Pair) -> Html:
    mark, words = "same", "= the same"
    if pair.differs:
        mark, words = "differs", f"≠ differs {pair.remark}"
    if pair.within_tolerance:
        mark, words = "close", f"≈ last digits differ {pair.remark}"
    return fill(
        _ROW,
        mark=mark,
        name=pair.name or "whole",
        first=value(pair.first),
        second=value(pair.second),
        words=words,
    )


def value(text: str) -> Html:
    """A value as it is shown."""
    if not text:
        return Html('<span class="about">none</span>')
    cut = text if len(text) <= _MAX_LETTERS else f"{text[:_MAX_LETTERS]} ..."
    return fill("<code>{text}</code>", text=cut)


def section_id(kind: str) -> str:
    """What a kind's section is found by in the page's address."""
    return kind.replace(" ", "-")


def _link(job_id: int, name: str) -> Html:
    return fill('<a href="/jobs/{id}">{name}#{id}</a>', id=job_id, name=name)
