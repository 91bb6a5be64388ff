"""The list of jobs, with its filters."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.tools.jobs.formatting import maybe
from dioptra_worker.tools.jobs.job_row import STATUSES
from dioptra_worker.tools.jobs.job_types import JOB_TYPES
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join
from dioptra_worker.tools.jobs.page.layout import pill
from dioptra_worker.tools.jobs.parked import parked_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from dioptra_worker.broker.parking import Parked
    from dioptra_worker.tools.jobs.listing import Found, Listed
    from dioptra_worker.tools.jobs.parked import ParkedJobs

ROWS = 25
_TEXTS = ("queue", "experiment", "user")

_LIST = """\
<h1 class="visually-hidden">Jobs</h1>
<form class="card filters" method="get" action="/" id="filters" role="search"
  aria-label="Filter jobs">
<div class="field"><label for="status">Status</label>
<select id="status" name="status">{statuses}</select></div>
<div class="field"><label for="type">Type</label>
<select id="type" name="type">{types}</select></div>
{texts}
<div class="actions"><button type="submit" class="primary">Filter</button>{clear}</div>
</form>
<div id="rows" data-source="{source}">
{rows}
</div>
"""

_TABLE = """\
<table class="card jobs">
<caption class="visually-hidden">Jobs, the newest first</caption>
<thead><tr><th scope="col">Status</th><th scope="col">Name</th>
<th scope="col">Type</th><th scope="col">User</th><th scope="col">Object</th>
<th scope="col">Queue</th><th scope="col" class="number">Age</th>
<th scope="col" class="number">Took</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<nav class="pages" aria-label="Pages">{newer}{older}</nav>
"""

_ROW = """\
<tr data-job="{id}"><td>{pill}</td>
<th scope="row"><a href="/jobs/{id}">{name}</a> <span class="id">#{id}</span>
{about}</th>
<td data-label="Type">{job_type}</td><td data-label="User">{user}</td>
<td data-label="Object"><a href="{object}">{experiment}</a></td>
<td data-label="Queue">{queue}</td>
<td data-label="Age" class="number"><time datetime="{at}" title="{at}">{age}</time></td>
<td data-label="Took" class="number">{took}</td></tr>"""


def list_page(
    found: Found, query: Mapping[str, str], *, parked: ParkedJobs, now: datetime
) -> Html:
    """The whole list with its filters."""
    return fill(
        _LIST,
        statuses=_choices(STATUSES, query.get("status", ""), "any status"),
        types=_choices(JOB_TYPES, query.get("type", ""), "any type"),
        texts=join(_text(name, query.get(name, "")) for name in _TEXTS),
        clear=Html('<a class="button" href="/">Clear</a>') if query else NOTHING,
        source="/rows?" + urlencode(query),
        rows=rows(found, query, parked=parked, now=now),
    )


def rows(
    found: Found, query: Mapping[str, str], *, parked: ParkedJobs, now: datetime
) -> Html:
    """The table alone, which the page asks for again and again."""
    if not found.jobs:
        return Html('<p class="card message">No such jobs.</p>')
    skip = skipped(query)
    newer = _link("← Newer", query, max(0, skip - ROWS)) if skip else NOTHING
    older = _link("Older →", query, skip + ROWS) if found.more else NOTHING
    lines = join(_row(listed, parked.of(listed.job), now) for listed in found.jobs)
    return fill(_TABLE, rows=lines, newer=newer, older=older)


def skipped(query: Mapping[str, str]) -> int:
    """How many jobs are before the first that is shown."""
    text = query.get("skip", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


def _row(listed: Listed, parked: Parked | None, now: datetime) -> Html:
    job = listed.job
    texts = [job.description] if job.description else []
    if parked is not None:
        texts.append(f"Parked {parked_lines(parked)[0]}")
    about = join(fill('<span class="about">{text}</span>', text=it) for it in texts)
    return fill(
        _ROW,
        id=job.id,
        pill=pill(job.status),
        name=job.name,
        about=about,
        job_type=listed.job_type,
        user=job.user,
        object="/?" + urlencode({"experiment": job.experiment}),
        experiment=job.experiment,
        queue=job.queue,
        at=f"{job.created:%Y-%m-%d %H:%M:%S} UTC",
        age=coarse_duration(listed.age(now)),
        took=maybe(listed.took(now)),
    )


def _choices(values: tuple[str, ...], chosen: str, everything: str) -> Html:
    options = [fill('<option value="">{text}</option>', text=everything)]
    options += [
        fill(
            '<option value="{value}"{selected}>{value}</option>',
            value=value,
            selected=Html(" selected") if value == chosen else NOTHING,
        )
        for value in values
    ]
    return join(options, "")


def _text(name: str, value: str) -> Html:
    return fill(
        '<div class="field text"><label for="{name}">{title}</label>'
        '<input id="{name}" name="{name}" value="{value}" autocomplete="off"'
        ' placeholder="any"></div>',
        title=name.capitalize(),
        name=name,
        value=value,
    )


def _link(text: str, query: Mapping[str, str], skip: int) -> Html:
    address = "/?" + urlencode({**query, "skip": str(skip)})
    return fill(
        '<a class="button" href="{address}">{text}</a>', address=address, text=text
    )
