"""What is answered to who has chosen several jobs in the list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from dioptra_worker.tools.jobs.page.chosen import question_page
from dioptra_worker.tools.jobs.page.chosen.acts import Acts, Outcome, Outcomes
from dioptra_worker.tools.jobs.page.chosen.archive import Archive
from dioptra_worker.tools.jobs.page.chosen.reading import of_each, read_jobs
from dioptra_worker.tools.jobs.page.chosen.selection import chosen, fields
from dioptra_worker.tools.jobs.page.chosen.several_page import (
    MAX_COMPARED,
    several_page,
)
from dioptra_worker.tools.jobs.page.http import Answer
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.comparison import Comparison
    from dioptra_worker.tools.jobs.details import Details
    from dioptra_worker.tools.jobs.job_row import JobRow
    from dioptra_worker.tools.jobs.page.html import Html
    from dioptra_worker.tools.jobs.page.http import Request

PATH = "/chosen"
OUTCOME = f"{PATH}/outcome"
ALL = "all"
"""What a list's address has where all of its jobs are chosen."""


class NothingChosen(Unknown):
    """Something was to be done, and to no job."""


@dataclass(frozen=True, kw_only=True)
class ChosenJobs:
    """Answers for several jobs.

    Attributes:
        api: A session with the API.
        client: The same session, for what people ask of it.
        read: Reads a job.
        compare: Compares two.
        acts: Does something to jobs.
        outcomes: What came of that.
        token: What a change must bring.
        filters_of: The part of a query that says which jobs are listed.
    """

    api: DioptraApi
    client: UserClient
    read: Callable[[int], Details]
    compare: Callable[[Details, Details], Comparison]
    acts: Acts
    outcomes: Outcomes
    token: str
    filters_of: Callable[[Mapping[str, str]], dict[str, str]]

    def look(self, request: Request) -> Answer | tuple[str, Html]:
        """Answer what changes nothing: with a page's title and body.

        Raises:
            Unknown: There is no such page, or no job is chosen.
            NotFound: There is a job no longer.
            ServiceError: The API refused, or cannot be asked.
        """
        if request.path == OUTCOME:
            return self._outcome(request)
        jobs = chosen(request.query)
        if request.path == question_page.ARCHIVE:
            return self._archive(jobs)
        kind = request.query.get("do", "")
        if request.path != PATH:
            raise Unknown("there is no such page")
        back = self._back(request.query)
        if kind == "all":
            query = urlencode({**back, "chosen": ALL})
            return Answer(status=HTTPStatus.SEE_OTHER, location=f"/?{query}")
        if not jobs:
            raise NothingChosen(
                "no job is chosen: go back, and check the boxes of some"
            )
        if kind == "compare":
            return self._comparison(jobs)
        if kind == "download":
            found, gone = self._artifacts(jobs)
            body = question_page.download_page(found, gone, back=back)
            return "Download artifacts", body
        if kind not in question_page.KINDS:
            raise Unknown("there is no such page")
        there, gone = read_jobs(self.client, jobs)
        body = question_page.question_page(
            kind, there, gone, token=self.token, back=back
        )
        return "Chosen jobs", body

    def change(self, form: Mapping[str, str]) -> Answer:
        """Do what was asked about, and lead to what came of it.

        Raises:
            Unknown: It is nothing that can be done, or no job is chosen.
        """
        kind, jobs = form.get("do", ""), chosen(form)
        if kind not in question_page.KINDS:
            raise Unknown("there is no such page")
        if not jobs:
            raise NothingChosen(
                "no job is chosen: go back, and check the boxes of some"
            )
        said = self.acts.do(kind, jobs)
        outcome = Outcome(kind=kind, said=said, back=self._back(form))
        # Not the page itself: loading that again must not do it again.
        name = self.outcomes.keep(outcome)
        return Answer(status=HTTPStatus.SEE_OTHER, location=f"{OUTCOME}?of={name}")

    def _outcome(self, request: Request) -> tuple[str, Html]:
        outcome = self.outcomes.find(request.query.get("of", ""))
        if outcome is None:
            raise Unknown("what came of that is not known any more: the jobs tell")
        return "What came of it", question_page.outcome_page(outcome)

    def _back(self, given: Mapping[str, str]) -> dict[str, str]:
        """Which list the jobs were chosen in; nothing else gets into an address."""
        return self.filters_of(dict(parse_qsl(given.get("back", ""))))

    def _comparison(self, jobs: Sequence[int]) -> Answer | tuple[str, Html]:
        if len(jobs) < 3:
            given = dict(zip(("first", "second"), jobs, strict=False))
            address = f"/compare?{urlencode(given)}"
            return Answer(status=HTTPStatus.SEE_OTHER, location=address)
        shown, left_out = jobs[:MAX_COMPARED], jobs[MAX_COMPARED:]
        first, *others = of_each(shown, self.read)
        body = several_page(
            [first, *others],
            [self.compare(first, other) for other in others],
            left_out=left_out,
            now=datetime.now(UTC),
        )
        return f"Compare {len(shown)} jobs", body

    def _archive(self, jobs: Sequence[int]) -> Answer:
        found, _ = self._artifacts(jobs)
        named = [*map(str, jobs[:5]), *(["and-more"] if len(jobs) > 5 else [])]
        return Answer(
            content_type="application/zip",
            download=Archive(self.api, found),
            name=f"jobs-{'-'.join(named)}.zip",
        )

    def _artifacts(
        self, jobs: Sequence[int]
    ) -> tuple[list[tuple[JobRow, list[Artifact]]], list[int]]:
        there, gone = read_jobs(self.client, jobs)
        has = of_each([job.id for job in there], self.client.artifacts)
        return list(zip(there, has, strict=True)), gone


def address(kind: str, *job_ids: int) -> str:
    """Where it is asked whether something is to be done to jobs."""
    return f"{PATH}?{urlencode({'do': kind, **fields(job_ids)})}"
