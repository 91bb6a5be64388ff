"""What does not need each other is under way at the same time.

No time is measured: the platform gives an answer only once it was asked for another
thing, too. Who asks for that only after the answer would wait for ever.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tests.unit.daemon.job.simulated_platform import (
    Leases,
    PlanningApi,
    attempt_context,
)
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, JOB
from tests.unit.supervision.simulated_runner import Conduct, Forkserver

from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.common.stop import JobStop
from dioptra_worker.daemon.job.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which what was waited for counts as never done."""
FINISHES = Conduct(has_run=True, end="finished", on_sigterm=None, closes_run=True)


class Meetings:
    """Holds things up until others have begun.

    Attributes:
        missed: What has waited in vain, and for what.
    """

    def __init__(self, needs: Mapping[str, set[str]]) -> None:
        self.missed: list[str] = []
        self._needs = needs
        self._begun: set[str] = set()
        self._changed = threading.Condition()

    def begin(self, what: str) -> None:
        """Begin something, and wait for what has to have begun by then."""
        needs = self._needs.get(what, set())
        with self._changed:
            self._begun.add(what)
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: needs <= self._begun, PATIENCE):
                self.missed.append(f"{what}: {needs - self._begun}")


@dataclass
class MeetingApi(PlanningApi):
    """The REST API whose answers wait for other requests."""

    meetings: Meetings = field(default_factory=lambda: Meetings({}))

    def _request(self, what: str, work: Callable[[], T]) -> T:
        self.meetings.begin(what)
        return super()._request(what, work)


def _run(folder: Path, conduct: Conduct = FINISHES, **needs: set[str]) -> MeetingApi:
    """Have a job run whose requests, with ``_`` for the space, wait for others."""
    meetings = Meetings({name.replace("_", " "): of for name, of in needs.items()})
    api = MeetingApi(status="queued", meetings=meetings)
    forkserver = Forkserver(conduct, meetings.begin)
    context = attempt_context(api, forkserver, Leases(), folder)
    request = JobRequest(
        job_id=JOB, experiment_id=EXPERIMENT, time_limit=None, worker="me"
    )
    attempt = Attempt(request, context, stop=JobStop())
    assert attempt.run(attempt.claim()).fate == "finished"
    assert meetings.missed == []
    return api


def test_what_the_jobs_id_is_enough_for(tmp_path: Path) -> None:
    """It is asked for beside the claim, and once."""
    by_id = {"GET job", "GET config", "GET parameters"}
    api = _run(tmp_path, PUT_started=by_id)
    assert all(api.requests.count(request) == 1 for request in by_id)


def test_the_mlflow_run(tmp_path: Path) -> None:
    """A new job's run is created beside the claim."""
    _run(tmp_path, PUT_started={"begun", "run"})
