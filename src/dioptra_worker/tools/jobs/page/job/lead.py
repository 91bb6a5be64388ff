"""What a job's page begins with: why it failed or waits, or how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.common.text.printable import one_line
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill
from dioptra_worker.tools.jobs.parked import parked_lines

if TYPE_CHECKING:
    from datetime import datetime

    from dioptra_worker.broker.parking import Parked
    from dioptra_worker.tools.jobs.details import Details
    from dioptra_worker.tools.jobs.page.job.log_parts import Latest
    from dioptra_worker.tools.jobs.waiting import Waiting

MAX_REASON = 2000
"""Letters of a reason; the log has all of it."""
MAX_LAST = 300
"""Letters of a running job's last line."""

_LEAD = """\
<div class="lead {status}"><p><strong>{title}</strong> <span>{text}</span></p>{last}
</div>"""
_LAST = '<p class="last"><code>{text}</code></p>'


def lead(
    details: Details,
    *,
    parked: Parked | None,
    waiting: Waiting | None,
    latest: Latest | None,
    now: datetime,
) -> Html:
    """What is said first; nothing of a job that has finished.

    Args:
        details: What the API tells of the job.
        parked: Why it is parked, if it is.
        waiting: Why it waits, if it does.
        latest: How far it is, if it runs.
        now: The time.
    """
    status = details.job.status
    if details.reason:
        return _said(status, "Failed", details.reason)
    if parked is not None:
        why, times = parked_lines(parked)
        return _said(status, "Parked", f"{why}. It was {times}.")
    if waiting is not None:
        return _said(status, "Waits", waiting.sentence(now))
    if latest is None:
        return NOTHING
    took = details.listed.took(now)
    since = "" if took is None else f"running for {coarse_duration(took)}"
    section = latest.section
    title = "Running" if section is None else section.title
    text = one_line(latest.text)
    shown = text if len(text) <= MAX_LAST else text[:MAX_LAST] + "…"
    return _said(status, title, since, fill(_LAST, text=shown) if shown else NOTHING)


def _said(status: str, title: str, text: str, last: Html = NOTHING) -> Html:
    shown = text if len(text) <= MAX_REASON else text[:MAX_REASON] + "…"
    return fill(_LEAD, status=status, title=title, text=shown, last=last)
