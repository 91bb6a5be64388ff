"""The page of one job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.tools.jobs.formatting import extent, maybe
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join
from dioptra_worker.tools.jobs.page.job.lead import lead
from dioptra_worker.tools.jobs.page.job.metrics_page import metrics_section
from dioptra_worker.tools.jobs.page.job.preview import images, preview_link
from dioptra_worker.tools.jobs.page.layout import pill

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from dioptra_worker.api.models import Artifact
    from dioptra_worker.broker.parking import Parked
    from dioptra_worker.tools.jobs.details import Details
    from dioptra_worker.tools.jobs.job_row import JobRow
    from dioptra_worker.tools.jobs.page.job.log_parts import Latest
    from dioptra_worker.tools.jobs.waiting import Waiting

_PAGE = """\
<p class="crumbs"><a href="/">All jobs</a></p>
<div class="title"><h1>{name} <span class="id">#{id}</span></h1>
<div class="buttons">
<a class="button" href="/compare?first={id}">Compare</a>
<button type="button" class="copy" data-copy="{id}" hidden>Copy ID</button>
<form action="/jobs/{id}/rerun" class="asks"><button type="submit"
 class="primary">Re-run…</button></form>
<form action="/jobs/{id}/cancel" class="asks" id="cancel"{cancel}><button type="submit"
 class="danger">Cancel…</button></form>
<form action="/chosen" class="asks" id="delete"{delete}>
<input type="hidden" name="job-{id}" value="on"><button type="submit" name="do"
 value="delete" class="danger">Delete…</button></form>
</div></div>
<div id="parts" data-source="/jobs/{id}/parts" data-status="{status}">
{parts}
</div>
{lineage}
{log}"""

_PARTS = """\
{lead}
<section class="card facts" aria-label="About this job">
<p class="state">{pill}{about}</p>
{run}<dl>{facts}</dl>
<ol class="timeline" aria-label="Timeline">{timeline}</ol>
</section>
{more}"""

_RUN = """\
<details class="run"><summary>Worker run <code>{id}</code></summary>
<dl>{lines}</dl></details>
"""

_PART = """\
<section class="card" aria-labelledby="{id}"><h2 id="{id}">{title}</h2>
{body}
</section>"""


_ARTIFACT = """\
<li><span class="file">{name}</span> <span class="id">#{id}</span>
 <span class="size">{size}</span>{link}<code class="uri">{uri}</code></li>"""

# Without the attribute `download`, a browser shows why there is nothing to save.
_DOWNLOAD = """\
{preview}
 <a class="download" href="/jobs/{job}/artifacts/{id}"
 aria-label="Download {name}">Download</a>"""


@dataclass(frozen=True)
class Shown:
    """What the page of a job shows, but for its log.

    Attributes:
        details: What the API tells of it.
        parked: Why it is parked, if it is.
        waiting: Why it waits, if it does.
        latest: How far it is by its log, if it runs.
    """

    details: Details
    parked: Parked | None = None
    waiting: Waiting | None = None
    latest: Latest | None = None

    @property
    def job(self) -> JobRow:
        """What a list tells of it."""
        return self.details.job


def job_page(
    shown: Shown, log: Html, *, lineage: Html = NOTHING, now: datetime
) -> Html:
    """The whole page of a job; its *lineage* is what never changes while it runs."""
    job = shown.job
    return fill(
        _PAGE,
        id=job.id,
        name=job.name,
        status=job.status,
        cancel=Html(" hidden") if job.has_ended else NOTHING,
        delete=NOTHING if job.has_ended else Html(" hidden"),
        parts=parts(shown, now=now),
        lineage=lineage,
        log=log,
    )


def parts(shown: Shown, *, now: datetime) -> Html:
    """What changes while the job runs, which the page asks for again and again."""
    details, job = shown.details, shown.job
    about = fill(' <span class="about">{text}</span>', text=job.description)
    return fill(
        _PARTS,
        lead=lead(
            details,
            parked=shown.parked,
            waiting=shown.waiting,
            latest=shown.latest,
            now=now,
        ),
        pill=pill(job.status),
        about=about if job.description else NOTHING,
        run=_worker_run(details),
        facts=join(_facts(details, now)),
        timeline=_timeline(details),
        more=join(_more(details)),
    )


def _worker_run(details: Details) -> Html:
    """What made the job's results: summed up, and with one click all of it."""
    run, job = details.worker_run, details.job
    if run is None:
        return NOTHING
    version = f"{job.name}, snapshot {details.snapshot_id}"
    lines = [
        _fact("Process", _linked_to("experiment", job.experiment)),
        _fact("Version", _linked_to("entrypoint", job.name, version)),
        *(
            _fact(f"Model or input {name}", _artifact_link(artifact))
            for name, (artifact, _) in run.inputs.items()
        ),
        *(_fact(f"Swap {name}", task) for name, task in run.swaps.items()),
        *(
            _fact(f"Configuration {name}", _value(value))
            for name, value in run.configuration.items()
        ),
        _fact("Configuration", details.configuration_id),
    ]
    address = "/?" + urlencode({"worker_run": run.id})
    lines.append(_fact("Jobs", _linked(address, "all of this worker run")))
    if run.user is not None:
        lines.append(_fact("Personal", f"signs what {run.user} publishes"))
    return fill(_RUN, id=run.id, lines=join(lines))


def _facts(details: Details, now: datetime) -> Iterable[Html]:
    listed, job = details.listed, details.job
    yield _fact("Type", listed.job_type)
    yield _fact("User", job.user)
    address = "/?" + urlencode({"experiment": job.experiment})
    yield _fact("Experiment", _linked(address, job.experiment))
    yield _fact("Queue", _linked("/?" + urlencode({"queue": job.queue}), job.queue))
    yield _fact("Submitted", f"{coarse_duration(listed.age(now))} ago")
    yield _fact("Waited", maybe(listed.timeline.waited))
    yield _fact("Took", maybe(listed.took(now)))
    yield _fact("Time limit", details.timeout)
    snapshot = f"{details.snapshot_id} of entrypoint {job.entrypoint_id}"
    yield _fact("Snapshot", _linked_to("entrypoint", job.name, snapshot))
    if details.run_page and urlsplit(details.run_page).scheme in {"http", "https"}:
        yield _fact("MLflow", _linked(details.run_page, "open the run"))
    elif details.run_id:
        yield _fact("MLflow run", details.run_id)
    if details.receipt:
        yield _fact("Receipt", details.receipt)


def _timeline(details: Details) -> Html:
    return join(
        fill(
            '<li class="{status}"><span>{status}</span>'
            ' <time datetime="{at}">{shown}</time></li>',
            status=change.status,
            at=change.at.isoformat(),
            shown=f"{change.at:%Y-%m-%d %H:%M:%S} UTC",
        )
        for change in details.listed.timeline.changes
    )


def _more(details: Details) -> Iterable[Html]:
    """Sections of which not every job has all."""
    inputs = [
        *((name, _value(value)) for name, value in details.parameters.items()),
        *((name, f"task {alias}") for name, alias in details.swaps.items()),
        *((item.name, _artifact_link(item.artifact_id)) for item in details.inputs),
    ]
    if inputs:
        yield _part("inputs", "Inputs", _definitions(inputs))
    if details.metrics:
        drawn = metrics_section(details.job.id, details.metrics)
        yield _part("metrics", "Metrics", drawn)
    if details.artifacts:
        yield _part("artifacts", "Artifacts", _artifacts(details))


def _artifacts(details: Details) -> Html:
    lines = join(_artifact(details.job.id, item) for item in details.artifacts)
    return fill(
        '<ul class="artifacts">{lines}</ul>{images}',
        lines=lines,
        images=images(details.job.id, details.artifacts),
    )


def _artifact(job_id: int, item: Artifact) -> Html:
    preview = NOTHING if item.is_dir else preview_link(job_id, item)
    link = fill(_DOWNLOAD, job=job_id, id=item.id, name=item.file_name, preview=preview)
    return fill(
        _ARTIFACT,
        name=item.file_name,
        id=item.id,
        size=extent(item),
        link=NOTHING if item.is_deleted else link,
        uri=item.uri,
    )


def _definitions(pairs: Iterable[tuple[str, str]]) -> Html:
    lines = join(
        fill("<div><dt>{name}</dt><dd><code>{value}</code></dd></div>", name=n, value=v)
        for n, v in pairs
    )
    return fill('<dl class="values">{lines}</dl>', lines=lines)


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _part(name: str, title: str, body: Html) -> Html:
    return fill(_PART, id=name, title=title, body=body)


def _fact(title: str, value: str) -> Html:
    template = "<div><dt>{title}</dt><dd>{value}</dd></div>"
    return fill(template, title=title, value=value)


def _linked_to(filter_name: str, value: str, text: str | None = None) -> Html:
    """A link to the jobs of an object."""
    return _linked("/?" + urlencode({filter_name: value}), text or value)


def _artifact_link(artifact_id: int) -> Html:
    """A link to the job that made an artifact."""
    return _linked(f"/artifacts/{artifact_id}", f"artifact {artifact_id}")


def _linked(address: str, text: str) -> Html:
    return fill('<a href="{address}">{text}</a>', address=address, text=text)
