"""A job's log in its sections, and what the page asks for while it grows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.text.printable import harmless, one_line
from dioptra_worker.tools.jobs.job_log import SEVERITIES, LogSections
from dioptra_worker.tools.jobs.page.html import Html, fill, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.job_log import Entry

MAX_LOGS = 16
"""Logs that are remembered between two requests."""
MAX_RECORDS = 5000
"""Records of a log that a page shows, the last ones."""

_LOG = """\
<section class="card" aria-labelledby="log-title">
<div class="head"><h2 id="log-title">Log</h2>
<form method="get" class="inline" id="log-filter">
<label for="severity">Severity at least</label>
<select id="severity" name="severity">{severities}</select>
<noscript><button type="submit">Show</button></noscript></form></div>
{left_out}
<div id="log" class="log least-{least}" tabindex="0" role="log" aria-live="off"
  aria-label="Log of job {id}" data-source="/jobs/{id}/log" data-next="{next}"
  data-ended="{ended}">
{sections}
</div>
<p class="empty" id="no-log"{hidden}>{empty}</p>
</section>"""

_SECTION = """\
<details open data-section="{number}"><summary>{title}</summary>
{lines}
</details>"""

_LINE = (
    '<div class="line {severity} {origin}"><time>{time}</time> <span class="severity">'
    '{severity}</span> <span class="origin">{origin}</span> <span class="logger">'
    '{logger}</span> <span class="text">{text}</span></div>'
)


@dataclass
class _Log:
    entries: list[Entry] = field(default_factory=list)
    sections: LogSections = field(default_factory=LogSections)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Logs:
    """The logs that pages look at; each record is asked for once."""

    def __init__(self, client: UserClient) -> None:
        self._client = client
        self._logs: OrderedDict[int, _Log] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, job_id: int) -> Sequence[Entry]:
        """All of a job's log as it is now."""
        with self._lock:
            log = self._logs.setdefault(job_id, _Log())
            self._logs.move_to_end(job_id)
            while len(self._logs) > MAX_LOGS:
                self._logs.popitem(last=False)
        with log.lock:
            lines = self._client.log(job_id, start=len(log.entries))
            log.entries += log.sections.assign(lines)
            return tuple(log.entries)


def log_section(
    job_id: int, entries: Sequence[Entry], *, ended: bool, severity: str
) -> Html:
    """The log as the page first shows it."""
    shown = entries[-MAX_RECORDS:]
    left_out = len(entries) - len(shown)
    return fill(
        _LOG,
        id=job_id,
        severities=_severities(severity),
        least=severity,
        left_out=fill(
            '<p class="note">The first {count} records are left out here:'
            " <code>dioptra-worker jobs logs {id}</code> prints them all.</p>",
            count=left_out,
            id=job_id,
        )
        if left_out
        else Html(""),
        next=len(entries),
        ended="true" if ended else "false",
        sections=join(
            fill(
                _SECTION,
                number=section.number,
                title=section.title,
                lines=join(map(_line, lines)),
            )
            for section, lines in groupby(shown, key=lambda entry: entry.section)
        ),
        empty="There is no log." if ended else "Nothing yet.",
        hidden=Html(" hidden") if entries else Html(""),
    )


def new_records(entries: Sequence[Entry], after: int) -> list[dict[str, Any]]:
    """What a page that has seen so many records has yet to show."""
    return [
        {
            "section": entry.section.number,
            "title": harmless(entry.section.title),
            "time": _time(entry),
            "severity": entry.severity if entry.severity in SEVERITIES else "INFO",
            "origin": entry.origin,
            "logger": one_line(entry.logger),
            "text": harmless(entry.text),
        }
        for entry in entries[after:]
    ]


def _line(entry: Entry) -> Html:
    return fill(
        _LINE,
        severity=entry.severity if entry.severity in SEVERITIES else "INFO",
        time=_time(entry),
        origin=entry.origin,
        logger=one_line(entry.logger),
        text=entry.text,
    )


def _time(entry: Entry) -> str:
    return f"{entry.at:%H:%M:%S.%f}"[:-3] if entry.at else ""


def _severities(chosen: str) -> Html:
    return join(
        (
            fill(
                '<option value="{value}"{selected}>{words}</option>',
                value=severity,
                selected=Html(" selected") if severity == chosen else Html(""),
                words=severity.lower(),
            )
            for severity in SEVERITIES
        ),
        "",
    )
