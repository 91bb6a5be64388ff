"""What the page answers to which address."""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from importlib import resources as package_files
from typing import TYPE_CHECKING

from dioptra_worker.errors import NotFound, ServiceError, WorkerError
from dioptra_worker.settings import DATA_PARAMETERS
from dioptra_worker.tools.jobs.artifacts.file_names import ARCHIVE, file_names
from dioptra_worker.tools.jobs.artifacts.selection import artifact_of, open_contents
from dioptra_worker.tools.jobs.control.submission import rerun
from dioptra_worker.tools.jobs.details import read_details
from dioptra_worker.tools.jobs.job_log import SEVERITIES
from dioptra_worker.tools.jobs.job_row import STATUSES
from dioptra_worker.tools.jobs.job_types import JOB_TYPES
from dioptra_worker.tools.jobs.listing import Filter
from dioptra_worker.tools.jobs.page import job_page, layout, list_page
from dioptra_worker.tools.jobs.page.http import Answer, Request
from dioptra_worker.tools.jobs.page.job_page import Shown
from dioptra_worker.tools.jobs.page.log_section import Logs, log_section, new_records
from dioptra_worker.tools.jobs.parked import ParkedJobs
from dioptra_worker.tools.resources.errors import ResourceError, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.control.actions import Actions
    from dioptra_worker.tools.jobs.listing import Found, Listing
    from dioptra_worker.tools.jobs.page.html import Html

STOP_TIMEOUT = 20.0
"""Seconds that a worker may take to stop a job before the page says that it has not."""
_JOB = re.compile(r"/jobs/([1-9][0-9]{0,17})(/[a-z]+)?")
_ARTIFACT = re.compile(r"/jobs/([1-9][0-9]{0,17})/artifacts/([1-9][0-9]{0,17})")
_INPUT = re.compile(r"/artifacts/([1-9][0-9]{0,17})")
"""An artifact that a job reads, which leads to the job that made it."""
_STATIC = {
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_FILTERS = ("type", "status", "queue", "experiment", "user", "entrypoint", "skip")


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
        logs: The logs that were looked at.
        mask: Takes secrets out of what went wrong.
        parked: Which jobs are parked.
        data_parameters: Those that say what to work on.
    """

    api: DioptraApi
    client: UserClient
    listing: Listing
    actions: Callable[[float], AbstractContextManager[Actions]]
    mlflow: str | None
    token: str
    logs: Logs
    mask: Callable[[str], str] = str
    parked: Callable[[], ParkedJobs] = ParkedJobs
    data_parameters: tuple[str, ...] = DATA_PARAMETERS

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
        if request.path == "/":
            return self._list(request)
        if request.path == "/rows":
            return _html(self._rows(request))
        if request.path.startswith("/static/"):
            return self._static(request.path.removeprefix("/static/"))
        if found := _ARTIFACT.fullmatch(request.path):
            return self._artifact(int(found[1]), int(found[2]))
        if found := _INPUT.fullmatch(request.path):
            return self._maker(int(found[1]))
        return self._of_job(request)

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
        return self._sentence_page("There is no such page.", HTTPStatus.NOT_FOUND)

    def _list(self, request: Request) -> Answer:
        query = _filters_of(request.query)
        found, parked = self._found(query), self.parked()
        body = list_page.list_page(found, query, parked=parked, now=_now())
        return self._page("Jobs", body)

    def _rows(self, request: Request) -> Html:
        query = _filters_of(request.query)
        found, parked = self._found(query), self.parked()
        return list_page.rows(found, query, parked=parked, now=_now())

    def _found(self, query: Mapping[str, str]) -> Found:
        wanted = Filter(
            job_type=query.get("type"),
            status=query.get("status"),
            queue=query.get("queue"),
            experiment=query.get("experiment"),
            user=query.get("user"),
            entrypoint=query.get("entrypoint"),
        )
        return self.listing.find(
            wanted, limit=list_page.ROWS, skip=list_page.skipped(query)
        )

    def _job(self, request: Request, job_id: int) -> Answer:
        shown = self._details(job_id)
        severity = request.query.get("severity", "")
        log = log_section(
            job_id,
            self.logs.read(job_id),
            ended=shown.job.has_ended,
            severity=severity if severity in SEVERITIES else SEVERITIES[0],
        )
        body = job_page.job_page(shown, log, token=self.token, now=_now())
        return self._page(f"{shown.job.name} #{job_id}", body)

    def _details(self, job_id: int) -> Shown:
        details = read_details(
            self.api,
            self.client,
            job_id,
            mlflow=self.mlflow,
            data_parameters=self.data_parameters,
        )
        return Shown(details, self.parked().of(details.job))

    def _log(self, request: Request, job_id: int) -> Answer:
        """The records that a page has yet to show; the status was told before them."""
        status = self.client.job(job_id)["status"]
        text = request.query.get("after", "")
        after = int(text) if text.isascii() and text.isdigit() else 0
        entries = self.logs.read(job_id)
        body = {
            "status": status,
            "next": len(entries),
            "entries": new_records(entries, after),
        }
        return Answer(body=json.dumps(body).encode(), content_type="application/json")

    def _artifact(self, job_id: int, artifact_id: int) -> Answer:
        """The contents of an artifact; never as what a browser would show or run."""
        artifact = artifact_of(self.client, job_id, artifact_id)
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

    def _change(self, request: Request) -> Answer:
        given = request.form.get("token", "").encode()
        if not hmac.compare_digest(given, self.token.encode()):
            words = (
                "This page is out of date: go back, load it again, and try once more."
            )
            return self._sentence_page(words, HTTPStatus.FORBIDDEN)
        found = _JOB.fullmatch(request.path)
        if found is None or found[2] not in {"/rerun", "/cancel"}:
            return self._sentence_page("There is no such page.", HTTPStatus.NOT_FOUND)
        job_id = int(found[1])
        if found[2] == "/rerun":
            job_id = rerun(self.client, job_id)
        else:
            with self.actions(STOP_TIMEOUT) as actions:
                actions.cancel(job_id)
        # Not the page itself: loading that again must not do it again.
        return Answer(status=HTTPStatus.SEE_OTHER, location=f"/jobs/{job_id}")

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
    if kept.get("type", JOB_TYPES[0]) not in JOB_TYPES:
        del kept["type"]
    if kept.get("status", "queued") not in STATUSES:
        del kept["status"]
    return {name: value for name, value in kept.items() if value}


def _html(body: Html, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(status=status, body=body.encode())


def _capitalized(text: str) -> str:
    """A sentence that begins one."""
    return text[:1].upper() + text[1:]


def _now() -> datetime:
    return datetime.now(UTC)
