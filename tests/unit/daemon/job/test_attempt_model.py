"""Whatever becomes of a job and its services: one end is told, if it is ours to tell.

The attempt, its threads, sockets, pipes, folders and journal are real; the runner, the
fork server, the REST API and Redis are simulated. What happens from outside happens at
a moment of the runner's or the API's, so that it comes before what is next there.
"""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.plugins.until import until
from tests.unit.daemon.job.simulated_platform import (
    TROUBLES,
    Leases,
    PlanningApi,
    attempt_context,
    is_prefetching,
)
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, JOB, Fault
from tests.unit.supervision.simulated_runner import RUN, Conduct, Forkserver

from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.common.stop import JobStop, StopRequest
from dioptra_worker.daemon.job.attempt import Attempt
from dioptra_worker.daemon.outbox.journal import Journals
from dioptra_worker.errors import RunnerError

if TYPE_CHECKING:
    from dioptra_worker.common.outcome import Outcome

Event = Literal["requested", "shutdown", "lease lost", "deleted"]
STOPS: dict[str, StopRequest] = {
    "requested": StopRequest("requested", "stopped by request"),
    "shutdown": StopRequest("shutdown", "the worker was shut down"),
    "lease lost": StopRequest("gone", "another worker has taken it over", kill=True),
}
MOMENTS = ["PUT started", "claimed", "GET config", "begun", "run", "planned", "ending"]
REQUESTS = ["GET config", "PUT finished", "PUT failed", "PUT reset"]
ENDS = ["finished", "failed"]


@dataclass(frozen=True, kw_only=True)
class Story:
    """What a job meets with.

    Attributes:
        status: The job's status when its entry is taken.
        conduct: How its runner behaves; None is none at all.
        trouble: What goes wrong when its task graph is fetched.
        events: What happens from outside, and when.
        faults: How the first request of a name fails.
        mlflow_away: Whether its MLflow run cannot be closed.
    """

    status: str
    conduct: Conduct | None
    trouble: str | None
    events: list[tuple[str, Event]]
    faults: dict[str, Fault]
    mlflow_away: bool

    @property
    def waits(self) -> bool:
        """Whether its runner does not end by itself."""
        return self.conduct is not None and self.conduct.end == "waits"

    @property
    def gets_ready(self) -> bool:
        """Whether its set-up comes to an end."""
        has_run = self.conduct is None or self.conduct.has_run
        return self.trouble != "away" and (has_run or not self.waits)


CONDUCTS = st.builds(
    Conduct,
    has_run=st.sampled_from([True, True, True, False]),
    end=st.sampled_from(
        ["finished", "finished", "failed", "stopped", "exits", "crashes", "hangs up"]
        + ["waits"] * 3
    ),
    on_sigterm=st.sampled_from(["stopped", "stopped", "finished", "nothing", None]),
    closes_run=st.booleans(),
)
STORIES = st.builds(
    Story,
    status=st.sampled_from(["queued"] * 17 + ["started", "finished", "deleted"]),
    conduct=st.one_of(*[CONDUCTS] * 9, st.none()),
    trouble=st.sampled_from([*[None] * 12, *TROUBLES]),
    events=st.lists(
        st.tuples(st.sampled_from(MOMENTS), st.sampled_from([*STOPS, "deleted"])),
        max_size=2,
    ),
    faults=st.dictionaries(
        st.sampled_from(REQUESTS), st.builds(Fault, done=st.booleans()), max_size=1
    ),
    mlflow_away=st.booleans(),
)


TOKEN = "this start"
PATIENT = Conduct(has_run=True, end="waits", on_sigterm="stopped", closes_run=True)
SWIFT = Conduct(has_run=True, end="finished", on_sigterm=None, closes_run=False)


def _story(*events: tuple[str, Event], **given: Any) -> Story:
    """A story in which all is well but for what is said."""
    well: dict[str, Any] = {
        "status": "queued",
        "trouble": None,
        "faults": {},
        "mlflow_away": False,
    }
    return Story(**{**well, "conduct": SWIFT, "events": list(events), **given})


def _no_runner(story: Story) -> Exception:
    if story.trouble == "a bug":
        return RuntimeError("the worker cannot count")
    return RunnerError("there is no memory for it")


class Telling:
    """A story that is told, and what is seen of it.

    Attributes:
        stops: What the attempt was told from outside.
        early: What it was told while the job was being claimed.
        is_late: Whether something happened when the end was on its way already.
    """

    def __init__(self, story: Story, folder: Path) -> None:
        self.story = story
        self.folder = folder
        self.stops: list[StopRequest] = []
        self.early: StopRequest | None = None
        self.is_late = False
        self._end_is_told = False
        self._due = list(story.events)
        self._faults = dict(story.faults)
        self._lock = threading.Lock()
        deleted = story.status == "deleted"
        self.api = PlanningApi(
            status="queued" if deleted else story.status,
            deleted=deleted,
            trouble=story.trouble,
            fault=self._request,
        )
        self.forkserver = Forkserver(
            story.conduct or _no_runner(story), self._at, mlflow_away=story.mlflow_away
        )
        self.leases = Leases()
        context = attempt_context(
            self.api,
            self.forkserver,
            self.leases,
            folder,
            kill_grace=0.02,
            status_poll=0.01,
            setup_deadline=60.0 if story.gets_ready else 0.1,
        )
        request = JobRequest(
            job_id=JOB,
            experiment_id=EXPERIMENT,
            time_limit=0.02 if story.waits else None,
            worker="me",
            start_token=TOKEN,
        )
        self.stop = JobStop()
        self.attempt = Attempt(request, context, stop=self.stop)

    def tell(self) -> Outcome | None:
        """See the story through; how the job ended, if it was ours to run."""
        claimed = self.attempt.claim()
        self._at("claimed")
        self.early = next(iter(self.stops), None)
        ours = claimed.kind in {"ours", "lost"}
        return self.attempt.run(claimed) if ours else None

    @property
    def ends(self) -> list[str]:
        """The ends that the API was told."""
        return [status for status, _ in self.api.statuses if status in ENDS]

    @property
    def lost(self) -> bool:
        """Whether the job became another's, or nobody's, while it was ours."""
        return STOPS["lease lost"] in self.stops or self.api.deleted

    def _request(self, what: str) -> Fault | None:
        self._end_is_told |= what in {"PUT finished", "PUT failed"}
        self._at(what)
        return self._faults.pop(what, None)

    def _at(self, moment: str) -> None:
        with self._lock:
            now = [event for when, event in self._due if when == moment]
            self._due = [due for due in self._due if due[0] != moment]
        for event in now:
            if event == "deleted":
                self.api.deleted = True
            else:
                self.stops.append(STOPS[event])
                self.stop.request(STOPS[event])
        # A runner that is killed may come this far after its end is told.
        self.is_late |= bool(now) and self._end_is_told


def _check_end(told: Telling, verdict: Outcome) -> None:
    """The API was told how the job ended, once and last, if it is ours to tell."""
    words = {runner.word for runner in told.forkserver.runners}
    if told.is_late:
        assert len(told.ends) <= 1
        return
    if told.lost:
        assert told.ends == []
    if verdict.fate == "left":  # the worker is to end, and cannot wait
        assert STOPS["shutdown"] in told.stops
        return
    ends = {"finished": ["finished"], "failed": ["failed"], "stopped": ["failed"]}
    assert told.ends == ends.get(verdict.fate, []) or told.api.deleted
    if not told.lost and words:
        assert (verdict.fate == "finished") == (words == {"finished"})
        if told.early is not None and words != {"finished"}:
            heeded = {"requested": "stopped", "shutdown": "given back"}
            assert verdict.fate == heeded[told.early.kind]
    match verdict.fate:
        case "given back":
            assert STOPS["shutdown"] in told.stops
            assert told.api.status == "queued" or told.api.deleted
        case "stopped":
            assert STOPS["requested"] in told.stops
        case "dropped":
            assert told.lost
    if told.ends:
        assert told.api.statuses[-1] == (told.ends[0], len(told.api.log))
        last = f"the job {verdict.fate}"
        conclusions = ("the job finished", "the job failed: ", "the job was stopped: ")
        said = [text for text in told.api.messages() if text.startswith(conclusions)]
        assert said == told.api.messages()[-1:]
        assert said[0].startswith(last.replace("stopped", "was stopped"))
        assert verdict.reason in said[0]


def _check_run(told: Telling, verdict: Outcome) -> None:
    """An MLflow run that its runner has left open is closed, or left to be."""
    open_runs = [
        (RUN, verdict.mlflow)
        for runner in told.forkserver.runners
        if runner.has_run and not runner.run_closed
    ]
    assert told.forkserver.closed == open_runs
    assert told.leases.to_close == (open_runs if told.story.mlflow_away else [])
    # One that was told its job and never said which run it has may have begun one.
    unknown = told.leases.unknown
    runners = told.forkserver.runners
    assert all(runner.has_run or unknown for runner in runners if runner.was_told)
    assert unknown in ([], [(TOKEN, verdict.mlflow)])
    assert not (unknown and any(runner.has_run for runner in runners))
    assert told.attempt.is_settled == (not unknown)


def _check_nothing_is_left(told: Telling, verdict: Outcome | None) -> None:
    """No runner outlives the attempt, nor does its folder, nor an empty journal."""
    assert len(told.forkserver.runners) <= 1
    if verdict is None:
        until(lambda: not is_prefetching())  # it may be about to make the folder
        for runner in told.forkserver.runners:
            until(runner.process.ended.is_set)  # it was hung up on
        was_told = any(runner.was_told for runner in told.forkserver.runners)
        assert not (was_told and told.attempt.is_settled)
    assert all(runner.process.ended.is_set() for runner in told.forkserver.runners)
    assert list(told.folder.glob("job-*")) == []
    journals = list(told.folder.glob("outbox/*"))
    free = list(Journals(told.folder, api=told.api.url).orphaned(JOB))
    for journal in free:
        with journal:
            journal.discard()
    assert len(free) == len(journals)
    assert len(journals) == (verdict is not None and verdict.fate == "left")


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(STORIES)
@example(_story(status="finished", conduct=PATIENT))
@example(_story(("begun", "requested"), ("ending", "lease lost")))
@example(_story(("ending", "lease lost"), mlflow_away=True))
@example(_story(("claimed", "shutdown"), conduct=PATIENT))
@example(_story(trouble="refused", conduct=PATIENT))
@example(_story(trouble="a bug", conduct=PATIENT))
@example(_story(trouble="a bug", conduct=None))
def test_one_end(story: Story) -> None:
    """The API is told one end, or none that is not ours to tell; nothing is left."""
    with tempfile.TemporaryDirectory() as folder:
        told = Telling(story, Path(folder))
        verdict = told.tell()
        _check_nothing_is_left(told, verdict)
        if verdict is None:
            assert told.ends == []
        else:
            _check_end(told, verdict)
            _check_run(told, verdict)
