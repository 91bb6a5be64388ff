"""What can be done to several jobs, and what is said of each."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.errors import NotFound, WorkerError
from dioptra_worker.tools.jobs.control.deletion import deletable
from dioptra_worker.tools.jobs.control.submission import rerun
from dioptra_worker.tools.jobs.job_row import JobRow
from dioptra_worker.tools.jobs.page.changes import STOP_TIMEOUT
from dioptra_worker.tools.jobs.page.chosen.reading import of_each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.control.actions import Actions

MAX_OUTCOMES = 64
"""Outcomes that are kept for who looks at them again."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What came of one job.

    Attributes:
        job_id: The job.
        name: Its entrypoint's name; empty where the job is gone.
        words: What was done, or why it was not.
        is_done: Whether it was done.
        new: The job that was made of it.
    """

    job_id: int
    words: str
    name: str = ""
    is_done: bool = True
    new: int | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of all of them.

    Attributes:
        kind: What was to be done.
        said: What is said of each job.
        back: The query of the list in which they were chosen.
    """

    kind: str
    said: tuple[Said, ...]
    back: Mapping[str, str]


class Outcomes:
    """The last outcomes, for pages that may be loaded again; for several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Outcome] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, outcome: Outcome) -> str:
        """Keep an outcome; by what it is found."""
        name = secrets.token_urlsafe(12)
        with self._lock:
            self._kept[name] = outcome
            while len(self._kept) > MAX_OUTCOMES:
                self._kept.popitem(last=False)
        return name

    def find(self, name: str) -> Outcome | None:
        """An outcome that is kept still."""
        with self._lock:
            return self._kept.get(name)


@dataclass(frozen=True, kw_only=True)
class Acts:
    """Does something to each of several jobs; one that fails keeps no other.

    Attributes:
        client: The API.
        actions: Opens the queues; workers get so many seconds to stop a job.
        mask: Takes secrets out of what went wrong.
    """

    client: UserClient
    actions: Callable[[float], AbstractContextManager[Actions]]
    mask: Callable[[str], str] = str

    def do(self, kind: str, job_ids: Iterable[int]) -> tuple[Said, ...]:
        """Do it.

        Args:
            kind: ``cancel``, ``rerun`` or ``delete``.
            job_ids: The jobs.
        """
        act = {"cancel": self._cancel, "rerun": self._rerun, "delete": self._delete}
        return tuple(of_each(job_ids, lambda job_id: self._one(act[kind], job_id)))

    def _one(self, act: Callable[[JobRow], Said], job_id: int) -> Said:
        name = ""
        try:
            job = JobRow.read(self.client.job(job_id))
            name = job.name
            return act(job)
        except NotFound:
            words = "there is no such job: it was deleted, or never was"
        except WorkerError as error:
            words = self.mask(str(error))
        return Said(job_id=job_id, name=name, words=words, is_done=False)

    def _cancel(self, job: JobRow) -> Said:
        with self.actions(STOP_TIMEOUT) as actions:
            status = actions.cancel(job.id)
        words = "cancelled" if status == "failed" else f"it has {status} before"
        done = status == "failed"
        return Said(job_id=job.id, name=job.name, words=words, is_done=done)

    def _rerun(self, job: JobRow) -> Said:
        new = rerun(self.client, job.id)
        return Said(job_id=job.id, name=job.name, words="runs again as", new=new)

    def _delete(self, job: JobRow) -> Said:
        deletable(self.client, job.id)
        self.client.delete_job(job.id)
        return Said(job_id=job.id, name=job.name, words="deleted")
