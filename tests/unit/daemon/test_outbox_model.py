"""Whatever fails, and however often a worker is lost: one end, and all before it.

Each story claims a job, puts parcels, maybe loses its worker, and ends the job. The
API fails at the requests that the story names: without an answer, after the work was
done, with 500, 503 or 429. A refused session is the client's to mend
(`tests/unit/api`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.daemon.simulated_api import (
    EXPERIMENT,
    GROUP,
    JOB,
    Fault,
    SimulatedApi,
)
from tests.unit.daemon.test_claim import Book, Case

from dioptra_worker.api.models import LogRecord
from dioptra_worker.daemon.courier import POISON_TRIES, Address, Courier, MlflowRun
from dioptra_worker.daemon.lane import Batch
from dioptra_worker.daemon.ledger import Pending
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.records import ArtifactStored, Metric

if TYPE_CHECKING:
    from dioptra_worker.daemon.claim import Claim

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
        parcels: What the job gives it, in order.
        end: The status that it wants to set.
        lost: When it is lost: before the end, while delivering it, or never.
        batch: How many log records it sends at once.
    """

    parcels: list[str]
    end: str
    lost: str | None
    batch: int


LIVES = st.builds(
    Life,
    parcels=st.lists(
        st.sampled_from(["line", "line", "same", "metric", "artifact"]), max_size=12
    ),
    end=st.sampled_from(sorted(TERMINAL)),
    lost=st.sampled_from([None, None, "running", "ending"]),
    batch=st.sampled_from([1, 2, 500]),
)


@dataclass
class Story:
    """The job from its first worker to its end."""

    api: SimulatedApi
    book: Book = field(default_factory=Book)
    attempt: int = 0
    said: list[list[str]] = field(default_factory=list)
    metrics: dict[tuple[str, int | None], float | str] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)

    def live(self, life: Life) -> str | None:
        """One worker's life; how the job ended, if it did."""
        self.attempt += 1
        claimed = self._claim()
        if claimed.kind == "over":
            return claimed.status
        if claimed.kind == "ours":
            self.book.held = None
        courier = Courier(
            self.api,
            Address(job_id=JOB, experiment_id=EXPERIMENT),
            group_id=lambda: GROUP,
            say=lambda *_: None,
            on_gone=lambda: None,
            batch=Batch(enough=life.batch, age=0.002, most=life.batch, weight=1 << 20),
            pace=0.0005,
        )
        with courier:
            self.said.append([])
            self.metrics, self.artifacts = {}, []
            if claimed.kind == "lost":
                self._put_line(courier, claimed.words)
                assert courier.finish(claimed.status, SOON)
                return claimed.status
            self._produce(courier, life)
            if life.lost == "running":
                courier.finish(None, 0.002)
                return None
            self.book.held = Pending(JOB, EXPERIMENT, life.end, "why")
            if life.lost == "ending":
                delivered = courier.finish(life.end, 0.002)
                return life.end if delivered else None
            assert courier.finish(life.end, SOON)
        return life.end

    def _claim(self) -> Claim:
        while True:
            try:
                case = Case(self.api, attempt=self.attempt, most=3, book=self.book)
                return case.claim()
            except ServiceUnavailable:
                continue  # put back and taken again; the faults end some day

    def _produce(self, courier: Courier, life: Life) -> None:
        courier.put(MlflowRun(f"run-{self.attempt}"))
        for number, kind in enumerate(life.parcels):
            match kind:
                case "metric":
                    name = f"m{self.attempt}"
                    courier.put(Metric(name=name, value=float(number), step=number))
                    self.metrics[name, number] = float(number)
                case "artifact":
                    uri = f"s3://b/{self.attempt}/{number}"
                    stored = ArtifactStored(
                        name="a", uri=uri, plugin_snapshot_id=1, task_id=1
                    )
                    courier.put(stored)
                    self.artifacts.append(uri)
                case "same":
                    self._put_line(courier, "the same again")
                case _:
                    self._put_line(courier, f"line {number} of {self.attempt}")

    def _put_line(self, courier: Courier, text: str) -> None:
        record = LogRecord(severity="INFO", logger="stdout", message=text)
        courier.put(record)
        self.said[-1].append(text)


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
    story = Story(api)
    certain = Life(last.parcels, last.end, None, last.batch)
    ended = None
    for life in [*lives, certain]:
        ended = story.live(life)
        if ended is not None:
            break
    assert ended is not None
    assert api.status == ended

    ends = [(status, length) for status, length in api.statuses if status in TERMINAL]
    assert ends == [(ended, len(api.log))]
    assert len({record.message for record in api.log}) == len(api.log)

    *lost, final = story.said
    messages = api.messages()
    assert messages[len(messages) - len(final) :] == final
    rest = messages[: len(messages) - len(final)]
    for lines in lost:  # what a lost worker has delivered is where its log began
        arrived = 0
        while arrived < len(lines) and rest[:1] == [lines[arrived]]:
            rest.pop(0)
            arrived += 1
    assert rest == []

    assert story.metrics.items() <= api.metrics.items()
    assert set(story.artifacts) <= set(api.artifacts)
    assert len(set(api.artifacts)) == len(api.artifacts)
