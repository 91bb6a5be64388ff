"""A job's log in its sections, by parts, and what the page asks for while it grows."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.text.printable import harmless, one_line
from dioptra_worker.tools.jobs.job_log import SEVERITIES
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join
from dioptra_worker.tools.jobs.page.job.log_parts import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dioptra_worker.tools.jobs.job_log import Entry
    from dioptra_worker.tools.jobs.page.job.log_parts import Part

_LOG = """\
<section class="card" aria-labelledby="log-title">
<div class="head"><h2 id="log-title">Log</h2>
<form method="get" class="inline" id="log-filter">
<label for="severity">Severity at least</label>
<select id="severity" name="severity">{severities}</select>{place}
<noscript><button type="submit">Show</button></noscript></form></div>
<div id="log" class="log least-{least}" tabindex="0" role="log" aria-live="off"
  aria-label="Log of job {id}" data-source="/jobs/{id}/log" data-start="{start}"
  data-next="{next}" data-live="{live}" data-ended="{ended}">
{earlier}
{sections}
</div>
{later}
<p class="empty" id="no-log"{hidden}>{empty}</p>
</section>"""

_EARLIER = """\
<a class="earlier" href="/jobs/{id}?before={start}#log-title">Show earlier records
<span>({start})</span></a>"""
_LATER = """\
<p class="note">The log goes on: <a href="/jobs/{id}#log-title">show its end</a>.</p>"""

_SECTION = """\
<details open data-section="{number}"{continued}><summary>{title}</summary>
{lines}
</details>"""

_LINE = (
    '<div class="line {severity} {origin}"><time>{time}</time> <span class="severity">'
    '{severity}</span> <span class="origin">{origin}</span> <span class="logger">'
    '{logger}</span> <span class="text">{text}</span>{whole}</div>'
)
_WHOLE = (
    ' <a class="whole" href="/jobs/{job}/log/{number}">Show all {letters} letters</a>'
)


def log_section(job_id: int, part: Part, *, ended: bool, severity: str) -> Html:
    """A part of the log as the page first shows it.

    Args:
        job_id: The job.
        part: The part; one that is not the log's end does not grow.
        ended: Whether the job has ended.
        severity: The least severity that is shown.
    """
    is_end = part.next >= part.total
    sections = groupby(part.entries, key=lambda entry: entry.section)
    return fill(
        _LOG,
        id=job_id,
        severities=_severities(severity),
        place=NOTHING if is_end else _before(part.next),
        least=severity,
        start=part.start,
        next=part.next,
        live="true" if is_end else "false",
        ended="true" if ended else "false",
        earlier=fill(_EARLIER, id=job_id, start=part.start) if part.start else NOTHING,
        sections=join(
            fill(
                _SECTION,
                number=section.number,
                continued=Html(" data-continued") if section.is_continued else NOTHING,
                title=section.title,
                lines=join(_line(job_id, entry) for entry in entries),
            )
            for section, entries in sections
        ),
        later=NOTHING if is_end else fill(_LATER, id=job_id),
        empty="There is no log." if ended else "Nothing yet.",
        hidden=Html(" hidden") if part.entries else NOTHING,
    )


def dump_records(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Records in JSON's types, for a page that has others already."""
    return [
        {
            "number": entry.number,
            "section": entry.section.number,
            "continued": entry.section.is_continued,
            "title": harmless(entry.section.title),
            "time": _time(entry),
            "severity": entry.severity if entry.severity in SEVERITIES else "INFO",
            "origin": entry.origin,
            "logger": one_line(entry.logger),
            "text": harmless(_shown(entry)),
            "letters": len(entry.text) if len(entry.text) > MAX_LINE else 0,
        }
        for entry in entries
    ]


def _line(job_id: int, entry: Entry) -> Html:
    letters = f"{len(entry.text):,}"
    whole = fill(_WHOLE, job=job_id, number=entry.number, letters=letters)
    return fill(
        _LINE,
        severity=entry.severity if entry.severity in SEVERITIES else "INFO",
        time=_time(entry),
        origin=entry.origin,
        logger=one_line(entry.logger),
        text=_shown(entry),
        whole=whole if len(entry.text) > MAX_LINE else NOTHING,
    )


def _shown(entry: Entry) -> str:
    if len(entry.text) <= MAX_LINE:
        return entry.text
    return entry.text[:MAX_LINE] + "…"


def _before(number: int) -> Html:
    template = '<input type="hidden" name="before" value="{number}">'
    return fill(template, number=number)


def _time(entry: Entry) -> str:
    return f"{entry.at:%H:%M:%S.%f}"[:-3] if entry.at else ""


def _severities(chosen: str) -> Html:
    return join(
        (
            fill(
                '<option value="{value}"{selected}>{words}</option>',
                value=severity,
                selected=Html(" selected") if severity == chosen else NOTHING,
                words=severity.lower(),
            )
            for severity in SEVERITIES
        ),
        "",
    )
