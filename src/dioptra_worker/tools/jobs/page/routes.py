"""What the page answers to which address."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from importlib import resources as package_files
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.text.printable import harmless
from dioptra_worker.errors import NotFound, ServiceError, WorkerError
from dioptra_worker.settings import DATA_PARAMETERS
from dioptra_worker.tools.jobs.ancestors.reading import read_lineage
from dioptra_worker.tools.jobs.artifacts.file_names import ARCHIVE, file_names
from dioptra_worker.tools.jobs.artifacts.selection import artifact_of, open_contents
from dioptra_worker.tools.jobs.details import read_details
from dioptra_worker.tools.jobs.job_log import SEVERITIES
from dioptra_worker.tools.jobs.job_row import STATUSES, JobRow
from dioptra_worker.tools.jobs.job_types import JOB_TYPES
from dioptra_worker.tools.jobs.listing import SEARCH_TIME, Filter, Found
from dioptra_worker.tools.jobs.page import layout, list_page
from dioptra_worker.tools.jobs.page.changes import KINDS, Changes
from dioptra_worker.tools.jobs.page.chosen import answers as chosen
from dioptra_worker.tools.jobs.page.chosen.acts import Acts, Outcomes
from dioptra_worker.tools.jobs.page.compare_page import compare_body
from dioptra_worker.tools.jobs.page.drawing.lineage_section import (
    MAX_JOBS,
    lineage_section,
    trouble_section,
)
from dioptra_worker.tools.jobs.page.html import NOTHING, Html
from dioptra_worker.tools.jobs.page.http import Answer, Request
from dioptra_worker.tools.jobs.page.job import job_page, metrics_page
from dioptra_worker.tools.jobs.page.job.job_page import Shown
from dioptra_worker.tools.jobs.page.job.log_section import dump_records, log_section
from dioptra_worker.tools.jobs.page.job.preview import image_contents, preview_body
from dioptra_worker.tools.jobs.parked import ParkedJobs
from dioptra_worker.tools.resources.errors import ResourceError, Unknown
from dioptra_worker.tools.resources.names import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.comparison import Comparison
    from dioptra_worker.tools.jobs.control.actions import Actions
    from dioptra_worker.tools.jobs.details import Details
    from dioptra_worker.tools.jobs.listing import Listing
    from dioptra_worker.tools.jobs.page.job.log_parts import Logs
    from dioptra_worker.tools.jobs.waiting import Waiting

_JOB = re.compile(r"/jobs/([1-9][0-9]{0,17})(/[a-z]+)?")
_ARTIFACT = re.compile(
    r"/jobs/([1-9][0-9]{0,17})/artifacts/([1-9][0-9]{0,17})(/preview|/image)?"
)
_RECORD = re.compile(r"/jobs/([1-9][0-9]{0,17})/log/(0|[1-9][0-9]{0,8})")
_INPUT = re.compile(r"/artifacts/([1-9][0-9]{0,17})")
"""An artifact that a job reads, which leads to the job that made it."""
_STATIC = {
    "style.css": "text/css; charset=utf-8",
    "results.css": "text/css; charset=utf-8",
    "print.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_NAMES = {
    "entrypoint": "entrypoints",
    "user": "users",
    "experiment": "experiments",
    "queue": "queues",
}
"""Filters that are names, and of what."""
_FILTERS = (
    *("type", "status", "queue", "experiment", "user", "entrypoint", "worker_run"),
    "skip",
)


@dataclass(frozen=True, kw_only=True)
class Routes:
    """The pages, for one user; may be asked by several threads.

    Attributes:
        api: A session with the API.
        client: The same session, for what people ask of it.
        listing: The jobs.
        actions: Opens the queues; workers get so many seconds to stop a job.
        mlflow: The address of MLflow's pages, where it is known.
        token: What a change must bring.
        compare: Compares two jobs.
        logs: Reads logs.
        mask: Takes secrets out of what went wrong.
        parked: Which jobs are parked.
        waiting: Why a job waits.
        data_parameters: Those that say what to work on.
        receipt_of: Tells the receipt of a run.
        jobs_of: Finds the jobs of a worker run.
        outcomes: What came of what was done to several jobs.
    """

    api: DioptraApi
    client: UserClient
    listing: Listing
    actions: Callable[[float], AbstractContextManager[Actions]]
    mlflow: str | None
    token: str
    compare: Callable[[Details, Details], Comparison]
    logs: Logs
    mask: Callable[[str], str] = str
    parked: Callable[[], ParkedJobs] = ParkedJobs
    waiting: Callable[[JobRow], Waiting | None] = lambda _job: None
    data_parameters: tuple[str, ...] = DATA_PARAMETERS
    receipt_of: Callable[[str], str] = lambda _run_id: ""
    jobs_of: Callable[[str], frozenset[int]] = lambda _worker_run: frozenset()
    outcomes: Outcomes = field(default_factory=Outcomes)

    def answer(self, request: Request) -> Answer:
        """Answer a request; a mistake, too, is answered with a sentence."""
        try:
            return self._answer(request)
        except NotFound:
            words = "There is no such job: it was deleted, or never was."
            return self._sentence_page(words, HTTPStatus.NOT_FOUND)
        except Unknown as error:
            return self._sentence_page(_capitalized(str(error)), HTTPStatus.NOT_FOUND)
        except ResourceError as error:
            return self._sentence_page(_capitalized(str(error)), HTTPStatus.CONFLICT)
        except ServiceError as error:
            return self._sentence_page(
                _capitalized(str(error)), HTTPStatus.SERVICE_UNAVAILABLE
            )
        except WorkerError as error:  # a setting that is missing
            return self._sentence_page(_capitalized(str(error)), HTTPStatus.CONFLICT)

    def _answer(self, request: Request) -> Answer:
        if request.method == "POST":
            return self._change(request)
        whole = {"/": self._list, "/rows": self._rows, "/compare": self._compare}
        if request.path in whole:
            return whole[request.path](request)
        if request.path.startswith(chosen.PATH):
            return self._look_at_chosen(request)
        if request.path.startswith("/static/"):
            return self._static(request.path.removeprefix("/static/"))
        if found := _ARTIFACT.fullmatch(request.path):
            return self._artifact(int(found[1]), int(found[2]), found[3])
        if found := _RECORD.fullmatch(request.path):
            return self._record(int(found[1]), int(found[2]))
        if found := _INPUT.fullmatch(request.path):
            return self._maker(int(found[1]))
        return self._of_job(request)

    def _compare(self, request: Request) -> Answer:
        """Two jobs side by side."""
        body = compare_body(
            request.query,
            read=self._read,
            compare=self.compare,
            listing=self.listing,
            now=_now(),
        )
        return self._page("Compare jobs", body)

    def _maker(self, artifact_id: int) -> Answer:
        """The job that made an artifact."""
        job_id = self.client.artifact(artifact_id).job_id
        return Answer(status=HTTPStatus.SEE_OTHER, location=f"/jobs/{job_id}")

    def _of_job(self, request: Request) -> Answer:
        found = _JOB.fullmatch(request.path)
        if found is None:
            return self._sentence_page("There is no such page.", HTTPStatus.NOT_FOUND)
        job_id, part = int(found[1]), found[2]
        match part:
            case None:
                return self._job(request, job_id)
            case "/parts":
                return _html(job_page.parts(self._details(job_id), now=_now()))
            case "/log":
                return self._log(request, job_id)
            case "/rerun" | "/cancel":
                question = self._changes.question(part[1:], job_id)
                return self._page(f"Job {job_id}", question)
            case "/metrics":
                return self._metrics(request, job_id)
        return self._sentence_page("There is no such page.", HTTPStatus.NOT_FOUND)

    def _list(self, request: Request) -> Answer:
        query = _filters_of(request.query)
        found, mistakes = self._found(query)
        body = list_page.list_page(
            found,
            query,
            parked=self.parked(),
            now=_now(),
            mistakes=mistakes,
            chosen=request.query.get("chosen") == chosen.ALL,
        )
        return self._page("Jobs", body)

    def _rows(self, request: Request) -> Answer:
        query = _filters_of(request.query)
        found, mistakes = self._found(query)
        rows = list_page.rows(
            found, query, parked=self.parked(), now=_now(), mistakes=mistakes
        )
        return _html(rows)

    def _found(self, query: Mapping[str, str]) -> tuple[Found, dict[str, str]]:
        """The jobs that are wanted; of none, which filters were mistyped and how."""
        mistakes = _not_in("type", query, JOB_TYPES) | _not_in(
            "status", query, STATUSES
        )
        nothing = Found((), more=False)
        if mistakes:
            return nothing, mistakes
        wanted = Filter(
            job_type=query.get("type"),
            status=query.get("status"),
            queue=query.get("queue"),
            experiment=query.get("experiment"),
            user=query.get("user"),
            entrypoint=query.get("entrypoint"),
            among=self.jobs_of(query["worker_run"]) if "worker_run" in query else None,
        )
        limit, skip = list_page.ROWS, list_page.skipped(query)
        found = nothing
        with suppress(Unknown, NotFound):  # an experiment that there is not
            found = self.listing.find(
                wanted, limit=limit, skip=skip, seconds=SEARCH_TIME
            )
        return found, {} if found.jobs or skip else self._unknown(query)

    def _unknown(self, query: Mapping[str, str]) -> dict[str, str]:
        mistakes = {}
        for name, kind in _NAMES.items():
            try:
                refuse_unknown(self.client, kind, query.get(name))
            except Unknown as error:
                mistakes[name] = self.mask(str(error))
        return mistakes

    def _job(self, request: Request, job_id: int) -> Answer:
        shown = self._details(job_id)
        severity = request.query.get("severity", "")
        log = log_section(
            job_id,
            self.logs.before(job_id, _number(request.query.get("before", ""))),
            ended=shown.job.has_ended,
            severity=severity if severity in SEVERITIES else SEVERITIES[0],
        )
        drawn = self._lineage(shown)
        body = job_page.job_page(shown, log, lineage=drawn, now=_now())
        return self._page(f"{shown.job.name} #{job_id}", body)

    def _lineage(self, shown: Shown) -> Html:
        """What a job came from; without it there is still the rest of the page."""
        if not shown.details.inputs:
            return NOTHING
        try:
            lineage = read_lineage(
                self.api,
                self.client,
                shown.job.id,
                max_jobs=MAX_JOBS,
                data_parameters=self.data_parameters,
            )
        except WorkerError as error:
            return trouble_section(self.mask(str(error)))
        return lineage_section(lineage)

    def _read(self, job_id: int) -> Details:
        return read_details(
            self.api,
            self.client,
            job_id,
            mlflow=self.mlflow,
            data_parameters=self.data_parameters,
            receipt_of=self.receipt_of,
        )

    def _details(self, job_id: int) -> Shown:
        details = self._read(job_id)
        job = details.job
        return Shown(
            details,
            self.parked().of(job),
            self.waiting(job),
            self.logs.latest(job_id) if job.status == "started" else None,
        )

    def _log(self, request: Request, job_id: int) -> Answer:
        """Records that a page has yet to show; the status was told before them."""
        body: dict[str, Any] = {"status": self.client.job(job_id)["status"]}
        if "before" in request.query:
            part = self.logs.before(job_id, _number(request.query["before"]))
            body |= {"start": part.start, "entries": dump_records(part.entries)}
        elif "after" in request.query:
            part = self.logs.after(job_id, _number(request.query["after"]))
            body |= {"next": part.next, "more": part.next < part.total}
            body["entries"] = dump_records(part.entries)
        return Answer(body=json.dumps(body).encode(), content_type="application/json")

    def _record(self, job_id: int, number: int) -> Answer:
        """One record of a log, all of it, as plain text."""
        self.client.job(job_id)  # of a log alone the API does not say that it is gone
        text = harmless(self.logs.whole(job_id, number).text)
        return Answer(body=text.encode(), content_type="text/plain; charset=utf-8")

    def _metrics(self, request: Request, job_id: int) -> Answer:
        name = JobRow.read(self.client.job(job_id)).name
        points = self.client.metrics(job_id)
        body = metrics_page.metrics_page(job_id, name, points, request.query)
        return self._page(f"Metrics of {name} #{job_id}", body)

    def _artifact(self, job_id: int, artifact_id: int, part: str | None) -> Answer:
        """The contents of an artifact; never as what a browser would run."""
        artifact = artifact_of(self.client, job_id, artifact_id)
        if part == "/preview":
            body = preview_body(self.api, job_id, artifact)
            return self._page(artifact.file_name, body)
        if part == "/image":
            data, content_type = image_contents(self.api, artifact)
            return Answer(body=data, content_type=content_type)
        name = file_names([artifact])[artifact.id]
        return Answer(
            content_type="application/octet-stream",
            download=open_contents(self.api, artifact),
            name=name + ARCHIVE if artifact.is_dir else name,
        )

    def _static(self, name: str) -> Answer:
        if name not in _STATIC:
            return self._sentence_page("There is no such page.", HTTPStatus.NOT_FOUND)
        file = package_files.files(__package__) / "static" / name
        return Answer(body=file.read_bytes(), content_type=_STATIC[name])

    @property
    def _changes(self) -> Changes:
        return Changes(client=self.client, actions=self.actions, token=self.token)

    def _look_at_chosen(self, request: Request) -> Answer:
        found = self._chosen.look(request)
        return found if isinstance(found, Answer) else self._page(*found)

    @property
    def _chosen(self) -> chosen.ChosenJobs:
        return chosen.ChosenJobs(
            api=self.api,
            client=self.client,
            read=self._read,
            compare=self.compare,
            acts=Acts(client=self.client, actions=self.actions, mask=self.mask),
            outcomes=self.outcomes,
            token=self.token,
            filters_of=_filters_of,
        )

    def _change(self, request: Request) -> Answer:
        if not self._changes.allows(request.form):
            words = (
                "This page is out of date: go back, load it again, and try once more."
            )
            return self._sentence_page(words, HTTPStatus.FORBIDDEN)
        if request.path == chosen.PATH:
            return self._chosen.change(request.form)
        found = _JOB.fullmatch(request.path)
        if found is None or (found[2] or "")[1:] not in KINDS:
            return self._sentence_page("There is no such page.", HTTPStatus.NOT_FOUND)
        done = self._changes.make(found[2][1:], int(found[1]), request.form)
        return self._page(f"Job {found[1]}", done) if isinstance(done, Html) else done

    def _page(
        self, title: str, body: Html, status: HTTPStatus = HTTPStatus.OK
    ) -> Answer:
        whole = layout.page(
            title, body, user=self.api.username, place=self.mask(self.api.url)
        )
        return _html(whole, status)

    def _sentence_page(self, words: str, status: HTTPStatus) -> Answer:
        return self._page("Jobs", layout.sentence(self.mask(words)), status)


def _filters_of(query: Mapping[str, str]) -> dict[str, str]:
    """The part of a query that says which jobs are wanted."""
    kept = {name: query[name].strip() for name in _FILTERS if query.get(name)}
    return {name: value for name, value in kept.items() if value}


def _not_in(
    name: str, query: Mapping[str, str], known: tuple[str, ...]
) -> dict[str, str]:
    value = query.get(name, known[0])
    if value in known:
        return {}
    return {name: f"there is no {name} {value!r}: there is {', '.join(known)}"}


def _number(text: str) -> int:
    """The number of a record; without one, that behind all."""
    is_one = text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if is_one else 10**9


def _html(body: Html, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(status=status, body=body.encode())


def _capitalized(text: str) -> str:
    """A sentence that begins one."""
    return text[:1].upper() + text[1:]


def _now() -> datetime:
    return datetime.now(UTC)
