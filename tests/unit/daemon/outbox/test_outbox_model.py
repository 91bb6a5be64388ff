"""Whatever fails, and however often a worker is lost: one end, and all before it.

Each story claims a job, puts items, maybe loses its worker, and ends the job. A
worker that is lost leaves what its journal had at that moment, whole or torn. The API
fails at the requests that the story names: without an answer, after the work was
done, with 500, 503 or 429. A refused session is the client's to mend
(`tests/unit/api`).
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.daemon.job.test_claim import Book, Case
from tests.unit.daemon.outbox.simulated_api import (
    EXPERIMENT,
    GROUP,
    JOB,
    Fault,
    SimulatedApi,
)

from dioptra_worker.broker.records import PendingStatus
from dioptra_worker.common.stop import JobStop
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.daemon.outbox.buffer import Capacity
from dioptra_worker.daemon.outbox.delivery_queue import Batch
from dioptra_worker.daemon.outbox.job_log import JobLog
from dioptra_worker.daemon.outbox.journal import Journal, Journals
from dioptra_worker.daemon.outbox.outbox import Outbox
from dioptra_worker.daemon.outbox.sender import POISON_TRIES
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.protocol.messages import ArtifactStored, Log, Metric, RunStarted

if TYPE_CHECKING:
    from dioptra_worker.daemon.job.claim import Claim
    from dioptra_worker.protocol.messages import Severity

SOON = 60.0
TERMINAL = {"finished", "failed"}

FAULTS = st.builds(
    Fault, done=st.booleans(), status=st.sampled_from([None, None, 503, 429])
)
SERVER_ERRORS = st.builds(Fault, done=st.booleans(), status=st.just(500))


@st.composite
def _faults(draw: st.DrawFn) -> list[Fault | None]:
    """How requests fail one after the other; 500 less often than makes poison."""
    plain = draw(st.lists(st.none() | FAULTS, max_size=25))
    errors = draw(st.lists(SERVER_ERRORS, max_size=POISON_TRIES - 1))
    return draw(st.permutations([*plain, *errors]))


@dataclass(frozen=True)
class Life:
    """What one worker does with the job.

    Attributes:
        items: What the job gives it, in order.
        end: The status that it wants to set.
        lost: When it is lost: before the end, while delivering it, or never.
        batch: How many log records it sends at once.
        torn: How many bytes its journal lacks at the end beside what was not written
            yet; None loses nothing.
        known: Whether Redis still knows the end that is under way.
    """

    items: list[str]
    end: str
    lost: str | None
    batch: int
    torn: int | None
    known: bool


LIVES = st.builds(
    Life,
    items=st.lists(
        st.sampled_from(["line", "line", "same", "metric", "artifact"]), max_size=12
    ),
    end=st.sampled_from(sorted(TERMINAL)),
    lost=st.sampled_from([None, None, "running", "ending"]),
    batch=st.sampled_from([1, 2, 500]),
    torn=st.none() | st.integers(0, 400),
    known=st.booleans(),
)


@dataclass
class Mortal:
    """The API as one worker sees it: once that is dead, no request is made."""

    api: SimulatedApi
    dead: bool = False

    def __getattr__(self, name: str) -> Any:
        if self.dead:
            raise ServiceUnavailable("dead", service="REST API")
        return getattr(self.api, name)


class QuietLog(JobLog):
    """A job's log in which the worker itself says nothing."""

    def say(self, severity: Severity, text: str) -> None:
        """Say nothing."""


@dataclass
class Said:
    """What a worker has said.

    Attributes:
        lines: Its lines, in order.
        certain: How many of them must arrive, whatever becomes of it.
    """

    lines: list[str] = field(default_factory=list)
    certain: int = 0


@dataclass
class Story:
    """The job from its first worker to its end."""

    api: SimulatedApi
    folder: Path
    book: Book = field(default_factory=Book)
    attempt: int = 0
    said: list[Said] = field(default_factory=list)
    metrics: dict[tuple[str, int | None], float | str] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)

    def live(self, life: Life) -> str | None:
        """One worker's life; how the job ended, if it did."""
        self.attempt += 1
        claimed = self._claim()
        if claimed.kind == "over":
            return claimed.status
        journal = self._journals.open(
            job_id=JOB, experiment_id=EXPERIMENT, attempt=self.attempt, worker="w"
        )
        assert journal is not None
        if claimed.kind == "ours":
            self.book.held = None
            journal.hand_over(attempt=self.attempt, worker="w")
            self.metrics, self.artifacts = {}, []
        mortal = Mortal(self.api)
        job_log = QuietLog(
            cast("Any", mortal),
            JOB,
            mask=Mask([]),
            stop=JobStop(),
            journal=journal,
            batch=Batch(enough=life.batch, age=0.002, most=life.batch, weight=1 << 20),
            capacity=Capacity(items=3),
            pace=0.0005,
        )
        outbox = Outbox(
            cast("Any", mortal),
            job_log,
            job_id=JOB,
            experiment_id=EXPERIMENT,
            stop=JobStop(),
            journal=journal,
            capacity=Capacity(items=3),
            pace=0.0005,
        )
        with journal, job_log, outbox:
            self.said.append(Said())
            if claimed.kind == "lost":
                self._put_line(job_log, claimed.words)
                outbox.release_artifacts()
                assert outbox.finish(claimed.status, SOON)
                journal.ack_final_status()
                return claimed.status
            first = journal.log.last
            self._produce(job_log, outbox, life)
            if life.lost == "running":
                outbox.finish(None, 0.002)
                self._crash(mortal, journal, first, life)
                return None
            end = PendingStatus(JOB, EXPERIMENT, life.end, "why")
            journal.record_final_status(end)
            outbox.release_artifacts()
            self.book.held = end if life.known else None
            delivered = outbox.finish(life.end, 0.002 if life.lost else SOON)
            if delivered:
                journal.ack_final_status()
                return life.end
            assert life.lost == "ending"
            self._crash(mortal, journal, first, life)
            return None

    @property
    def _journals(self) -> Journals:
        return Journals(self.folder, api="http://api.test")

    def _crash(self, mortal: Mortal, journal: Journal, first: int, life: Life) -> None:
        """Lose the worker: what its disk has at this moment is all that is left."""
        mortal.dead = True
        if life.torn is None:
            journal.flush()
        left = self.folder.with_name(f"left-{self.attempt}")
        with journal.log._disk, journal.results._disk, journal.artifacts._disk:
            shutil.copytree(self.folder, left)
        self.folder = left
        said = self.said[-1]
        if life.torn is None:
            said.certain = len(said.lines)
            return
        self.metrics, self.artifacts = {}, []  # who knows
        for part in ("log", "results", "artifacts"):
            for file in left.glob(f"outbox/*/{part}.sqlite-wal"):
                file.write_bytes(file.read_bytes()[: -life.torn or None])
        for journal_left in self._journals.orphaned(JOB):
            with journal_left:
                said.certain = max(0, journal_left.log.last - first)

    def _claim(self) -> Claim:
        while True:
            try:
                held = self.book.held or self._journals.final_status_of(JOB, attempt=1)
                book = Book(held=held)
                case = Case(self.api, attempt=self.attempt, most=3, book=book)
                return case.claim()
            except ServiceUnavailable:
                continue  # put back and taken again; the faults end some day

    def _produce(self, job_log: JobLog, outbox: Outbox, life: Life) -> None:
        outbox.put(RunStarted(run_id=f"run-{self.attempt}"))
        for number, kind in enumerate(life.items):
            match kind:
                case "metric":
                    name = f"m{self.attempt}"
                    outbox.put(Metric(name=name, value=float(number), step=number))
                    self.metrics[name, number] = float(number)
                case "artifact":
                    uri = f"s3://b/{self.attempt}/{number}"
                    stored = ArtifactStored(
                        name="a",
                        uri=uri,
                        plugin_snapshot_id=1,
                        task_id=1,
                        group_id=GROUP,
                    )
                    outbox.put(stored)
                    self.artifacts.append(uri)
                case "same":
                    self._put_line(job_log, "the same again")
                case _:
                    self._put_line(job_log, f"line {number} of {self.attempt}")

    def _put_line(self, job_log: JobLog, text: str) -> None:
        record = Log(severity="INFO", logger="stdout", message=text)
        job_log.put(record)
        self.said[-1].lines.append(text)


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(faults=_faults(), lives=st.lists(LIVES, max_size=2), last=LIVES)
def test_one_end_and_all_before_it(
    faults: list[Fault | None], lives: list[Life], last: Life
) -> None:
    """One terminal status is reached, after a log and results that are complete."""
    left = iter(faults)
    api = SimulatedApi(status="queued", fault=lambda _: next(left, None))
    with tempfile.TemporaryDirectory() as folder:
        story = Story(api, Path(folder, "work"))
        certain = replace(last, lost=None)
        ended = None
        for life in [*lives, certain]:
            ended = story.live(life)
            if ended is not None:
                break
        journals = list(Path(folder).glob(f"{story.folder.name}/outbox/job-*"))
    assert ended is not None
    assert api.status == ended
    assert journals == []

    ends = [(status, length) for status, length in api.statuses if status in TERMINAL]
    assert ends == [(ended, len(api.log))]
    assert len({record.message for record in api.log}) == len(api.log)

    *lost, final = story.said
    messages = api.messages()
    assert messages[len(messages) - len(final.lines) :] == final.lines
    rest = messages[: len(messages) - len(final.lines)]
    for said in lost:  # of a lost worker the log has a beginning, and all it kept
        count_delivered = 0
        while count_delivered < len(said.lines) and rest[:1] == [
            said.lines[count_delivered]
        ]:
            rest.pop(0)
            count_delivered += 1
        assert count_delivered >= said.certain
    assert rest == []

    assert story.metrics.items() <= api.metrics.items()
    assert set(story.artifacts) <= set(api.artifacts)
    assert len(set(api.artifacts)) == len(api.artifacts)
    assert len({uri.split("/")[3] for uri in api.artifacts}) <= 1  # of one attempt
