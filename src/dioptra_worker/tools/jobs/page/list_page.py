"""The list of jobs, with its filters."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.tools.jobs.formatting import maybe
from dioptra_worker.tools.jobs.job_row import STATUSES
from dioptra_worker.tools.jobs.job_types import JOB_TYPES
from dioptra_worker.tools.jobs.page.chosen.selection import field
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
_TEXTS = ("user", "experiment", "queue")
_LONG = 12
"""Letters that every column shows; whatever has more may end in an ellipsis."""

_NO_MISTAKES: Mapping[str, str] = {}

_MISTAKES = (
    '<div class="card message problems" id="mistakes" role="alert">{lines}</div>'
)

_LIST = """\
<h1 class="visually-hidden">Jobs</h1>
<form class="card filters" method="get" action="/" id="filters" role="search"
  aria-label="Filter jobs">
<div class="field"><label for="status">Status</label>
<select id="status" name="status">{statuses}</select></div>
{entrypoint}
<div class="field"><label for="type">Type</label>
<select id="type" name="type">{types}</select></div>
{texts}
<div class="actions"><button type="submit" class="primary">Filter</button>{clear}</div>
</form>
{actions}
<div id="rows" data-source="{source}">
{rows}
</div>
"""

# What is done with the jobs whose boxes are checked; their fields belong to this form.
_ACTIONS = """\
<form class="chosen asks" method="get" action="/chosen" id="chosen"
 aria-label="Chosen jobs"{hidden}>
<input type="hidden" name="back" value="{back}">
<button type="submit" name="do" value="all">Choose all on this page</button>
<p class="how-many" role="status">Check jobs, then choose what to do with them.</p>
<div class="actions">
<button type="submit" name="do" value="compare">Compare</button>
<button type="submit" name="do" value="download">Download…</button>
<button type="submit" name="do" value="rerun">Re-run…</button>
<button type="submit" name="do" value="cancel" class="danger">Cancel…</button>
<button type="submit" name="do" value="delete" class="danger">Delete…</button>
</div></form>"""

_TABLE = """\
<table class="card jobs">
<caption class="visually-hidden">Jobs, the newest first</caption>
<thead><tr><th scope="col" class="choice"><span class="visually-hidden">Chosen</span>
</th><th scope="col">Status</th>
<th scope="col" class="wide"><span>Entrypoint</span></th>
<th scope="col">Type</th><th scope="col">User</th><th scope="col">Experiment</th>
<th scope="col">Queue</th><th scope="col" class="number">Age</th>
<th scope="col" class="number">Took</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<nav class="pages" aria-label="Pages">{newer}{older}</nav>
"""

_ROW = """\
<tr data-job="{id}"><td class="choice"><input type="checkbox" form="chosen"
 name="{field}" aria-label="Choose {name_of_job} #{id}"{checked}></td>
<td class="state">{pill}</td>
<th scope="row"><span class="named">{name} <span class="id">#{id}</span></span>
{about}</th>
<td data-label="Type">{job_type}</td><td data-label="User">{user}</td>
<td data-label="Experiment">{experiment}</td><td data-label="Queue">{queue}</td>
<td data-label="Age" class="number"><time datetime="{at}" title="{at}">{age}</time></td>
<td data-label="Took" class="number">{took}</td></tr>"""

# What is too long for its place ends in an ellipsis; the style sheet shows the whole,
# from the attribute, while the mouse or the keyboard is there.
_CUT = '<span class="cut {kind}"{whole}>{shown}</span>'


def list_page(
    found: Found,
    query: Mapping[str, str],
    *,
    parked: ParkedJobs,
    now: datetime,
    mistakes: Mapping[str, str] = _NO_MISTAKES,
    chosen: bool = False,
) -> Html:
    """The whole list with its filters, as they were typed.

    Args:
        found: The jobs.
        query: What was asked for.
        parked: Which of them are parked.
        now: The time.
        mistakes: What is wrong with which filter.
        chosen: Whether all jobs are chosen.
    """
    # A worker run has no column; there are only links to its jobs.
    names = [*_TEXTS, *(name for name in ("worker_run",) if name in query)]
    return fill(
        _LIST,
        statuses=_choices(STATUSES, query.get("status", ""), "any status"),
        types=_choices(JOB_TYPES, query.get("type", ""), "any type"),
        entrypoint=_text("entrypoint", query, mistakes),
        texts=join(_text(name, query, mistakes) for name in names),
        clear=Html('<a class="button" href="/">Clear</a>') if query else NOTHING,
        actions=fill(
            _ACTIONS,
            back=urlencode(query),
            hidden=NOTHING if found.jobs else Html(" hidden"),
        ),
        source="/rows?" + urlencode(query),
        rows=rows(
            found, query, parked=parked, now=now, mistakes=mistakes, chosen=chosen
        ),
    )


def rows(
    found: Found,
    query: Mapping[str, str],
    *,
    parked: ParkedJobs,
    now: datetime,
    mistakes: Mapping[str, str] = _NO_MISTAKES,
    chosen: bool = False,
) -> Html:
    """The table alone, which the page asks for again and again."""
    if mistakes:
        said = (fill("<p>{line}</p>", line=_sentence(x)) for x in mistakes.values())
        return fill(_MISTAKES, lines=join(said))
    unseen = _unseen(found)
    if not found.jobs:
        return unseen or Html('<p class="card message">No such jobs.</p>')
    skip = skipped(query)
    newer = _link("← Newer", query, max(0, skip - ROWS)) if skip else NOTHING
    older = _link("Older →", query, skip + ROWS) if found.more else NOTHING
    lines = join(
        _row(listed, parked.of(listed.job), now, chosen=chosen) for listed in found.jobs
    )
    return join([fill(_TABLE, rows=lines, newer=newer, older=older), unseen])


def _unseen(found: Found) -> Html:
    """That a search is not over: whoever asks for the rows again goes on with it."""
    if not found.unseen:
        return NOTHING
    jobs = "1 older job is" if found.unseen == 1 else f"{found.unseen:,} older jobs are"
    return fill(
        '<p class="card message" role="status" data-unseen>{so_far}{jobs} still to be'
        " looked through.</p>",
        so_far="" if found.jobs else "None so far: ",
        jobs=jobs,
    )


def skipped(query: Mapping[str, str]) -> int:
    """How many jobs are before the first that is shown."""
    text = query.get("skip", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


def _row(listed: Listed, parked: Parked | None, now: datetime, *, chosen: bool) -> Html:
    job = listed.job
    texts = [job.description] if job.description else []
    if parked is not None:
        texts.append(f"Parked {parked_lines(parked)[0]}")
    return fill(
        _ROW,
        id=job.id,
        field=field(job.id),
        name_of_job=job.name,
        checked=Html(" checked") if chosen else NOTHING,
        pill=pill(job.status),
        name=_linked(job.name, f"/jobs/{job.id}"),
        about=join(map(_about, texts)),
        job_type=listed.job_type,
        user=_filtered("user", job.user),
        experiment=_filtered("experiment", job.experiment),
        queue=_filtered("queue", job.queue),
        at=f"{job.created:%Y-%m-%d %H:%M:%S} UTC",
        age=coarse_duration(listed.age(now)),
        took=maybe(listed.took(now)),
    )


def _filtered(name: str, value: str) -> Html:
    """A value that leads to all jobs that have it."""
    return _linked(value, "/?" + urlencode({name: value})) if value else NOTHING


def _linked(text: str, address: str) -> Html:
    link = fill('<a href="{address}">{text}</a>', address=address, text=text)
    return fill(_CUT, kind="", whole=_whole(text), shown=link)


def _about(text: str) -> Html:
    whole = _whole(text)
    reached = Html(' tabindex="0"') if whole else NOTHING
    shown = fill("<span{reached}>{text}</span>", reached=reached, text=text)
    return fill(_CUT, kind="about", whole=whole, shown=shown)


def _whole(text: str) -> Html:
    if len(text) <= _LONG:
        return NOTHING
    return fill(' data-whole="{text}"', text=text)


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


def _text(name: str, query: Mapping[str, str], mistakes: Mapping[str, str]) -> Html:
    wrong = Html(' aria-invalid="true" aria-describedby="mistakes"')
    if name == next(iter(mistakes), None):
        wrong = Html(f"{wrong} autofocus")
    return fill(
        '<div class="field text"><label for="{name}">{title}</label>'
        '<input id="{name}" name="{name}" value="{value}" autocomplete="off"'
        ' placeholder="any"{wrong}></div>',
        title=name.replace("_", " ").capitalize(),
        name=name,
        value=query.get(name, ""),
        wrong=wrong if name in mistakes else NOTHING,
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _link(text: str, query: Mapping[str, str], skip: int) -> Html:
    address = "/?" + urlencode({**query, "skip": str(skip)})
    return fill(
        '<a class="button" href="{address}">{text}</a>', address=address, text=text
    )
