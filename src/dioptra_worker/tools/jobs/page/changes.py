"""Cancels jobs and runs them again, each after it was asked whether and how."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from dioptra_worker.tools.jobs.control.choices import read_choices
from dioptra_worker.tools.jobs.control.submission import rerun
from dioptra_worker.tools.jobs.errors import NotNow
from dioptra_worker.tools.jobs.job_row import JobRow
from dioptra_worker.tools.jobs.page import ask_page
from dioptra_worker.tools.jobs.page.http import Answer
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.control.actions import Actions
    from dioptra_worker.tools.jobs.page.html import Html

STOP_TIMEOUT = 20.0
"""Seconds that a worker may take to stop a job before the page says that it has not."""
KINDS = frozenset({"rerun", "cancel"})


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What can be done to a job on its page.

    Attributes:
        client: The API.
        actions: Opens the queues; workers get so many seconds to stop a job.
        token: What a change must bring: only our own forms have it.
    """

    client: UserClient
    actions: Callable[[float], AbstractContextManager[Actions]]
    token: str

    def allows(self, form: Mapping[str, str]) -> bool:
        """Whether a form is one of ours."""
        given = form.get("token", "").encode()
        return hmac.compare_digest(given, self.token.encode())

    def question(self, kind: str, job_id: int) -> Html:
        """What is asked before something is done to a job; nothing is done yet.

        Raises:
            NotFound: There is no such job.
            ServiceError: The API refused, or cannot be asked.
        """
        if kind == "rerun":
            choices = read_choices(self.client, job_id)
            return ask_page.rerun_page(choices, token=self.token)
        job = JobRow.read(self.client.job(job_id))
        return ask_page.cancel_page(job, token=self.token)

    def make(self, kind: str, job_id: int, form: Mapping[str, str]) -> Answer | Html:
        """Do it.

        Returns:
            Where to look at what came of it; or the question once more, with what was
            wrong with the answer.

        Raises:
            NotNow: The job has ended already, or its worker did not stop it in time.
            NotFound: There is no such job.
            ServiceError: The API or Redis refused, or cannot be asked.
        """
        if kind == "cancel":
            with self.actions(STOP_TIMEOUT) as actions:
                actions.cancel(job_id)
            return _seen_at(job_id)
        choices = read_choices(self.client, job_id)
        try:
            new = rerun(
                self.client,
                job_id,
                queue=ask_page.changed_queue(choices, form),
                values=ask_page.changed_values(choices, form),
            )
        except (Unknown, NotNow) as error:
            return ask_page.rerun_page(
                choices, token=self.token, form=form, problem=str(error)
            )
        return _seen_at(new)


def _seen_at(job_id: int) -> Answer:
    """Not the page itself: loading that again must not do it again."""
    return Answer(status=HTTPStatus.SEE_OTHER, location=f"/jobs/{job_id}")
