"""What lost workers left is delivered where nobody else will, and only there."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, JOB, Fault, SimulatedApi

from dioptra_worker.broker.records import PendingStatus, UnknownRun
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.daemon.outbox.journal import Journal, Journals
from dioptra_worker.daemon.recovery.orphaned_outboxes import OrphanedOutboxes
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.protocol.messages import ArtifactStored, Log, Metric

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Leases:
    """Leases that knows which jobs other machines run."""

    elsewhere: set[int] = field(default_factory=set)
    ended: int | None = None
    pending: PendingStatus | None = None
    remembered: dict[str, UnknownRun] = field(default_factory=dict)

    @property
    def runs(self) -> Leases:
        """Likewise."""
        return self

    def remember_begun(self, token: str, run: UnknownRun) -> None:
        """Keep it."""
        self.remembered[token] = run

    def is_held_elsewhere(self, job_id: int) -> bool:
        """As told."""
        return job_id in self.elsewhere

    def pending_status(self, job_id: int) -> PendingStatus | None:
        """As told."""
        assert job_id == JOB
        return self.pending

    def ended_attempt(self, job_id: int) -> int | None:
        """As told."""
        assert job_id == JOB
        return self.ended


@dataclass
class Place:
    """A worker's folder with one journal that was left in it."""

    folder: Path
    api: SimulatedApi = field(
        default_factory=lambda: SimulatedApi(status="finished", run_id="abc")
    )
    leases: Leases = field(default_factory=Leases)

    time: float = 0.0

    def __post_init__(self) -> None:
        self.journals = Journals(self.folder, api="http://api.test")
        self.orphaned_outboxes = OrphanedOutboxes(
            api=cast("Any", self.api),
            leases=cast("Any", self.leases),
            journals=self.journals,
            mask=Mask([]),
            pace=0.001,
            clock=lambda: self.time,
        )
        with self.open() as journal:
            for number in range(3):
                text = f"2026-01-01T00:00:00.00000{number}Z line {number}"
                journal.log.put(Log(severity="INFO", logger="stdout", message=text))
            journal.results.put(Metric(name="loss", value=1.0, step=1))
            journal.artifacts.put(
                ArtifactStored(
                    name="a", uri="s3://b/a", plugin_snapshot_id=1, task_id=2
                )
            )
            journal.record_run("abc")
            journal.record_final_status(PendingStatus(JOB, EXPERIMENT, "finished", ""))

    def open(self) -> Journal:
        """A journal of the job."""
        made = self.journals.open(
            job_id=JOB,
            experiment_id=EXPERIMENT,
            attempt=1,
            worker="lost",
            start_token="start",
        )
        assert made is not None
        return made

    @property
    def is_left(self) -> bool:
        """Whether there is still a journal."""
        return bool(self.journals.orphaned_jobs())


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_of_a_job_that_is_over(place: Place) -> None:
    """All that was left of a job that has ended is delivered, but not its end."""
    place.orphaned_outboxes.sweep()
    *lines, note = place.api.messages()
    assert lines == ["line 0", "line 1", "line 2"]
    assert "delivered late: 5 log records and results of attempt 1" in note
    assert place.api.metrics == {("loss", 1): 1.0}
    assert place.api.artifacts == ["s3://b/a"]
    assert place.api.statuses == []
    assert not place.is_left


@pytest.mark.parametrize("is_deleted", [False, True])
@pytest.mark.parametrize(
    ("status", "closed"),
    [("finished", "FINISHED"), ("failed", "FAILED"), ("", "KILLED")],
)
def test_its_run_is_closed(
    status: str, closed: str, is_deleted: bool, place: Place
) -> None:
    """Where Redis has forgotten that an MLflow run was begun, the journal tells it."""
    place.api.deleted = is_deleted
    with place.open() as journal:
        journal.ack_final_status()
        if status:
            journal.record_final_status(PendingStatus(JOB, EXPERIMENT, status, ""))
    place.orphaned_outboxes.sweep()
    assert place.leases.remembered == {"start": UnknownRun(JOB, closed)}
    assert not place.is_left


def test_what_seems_old_can_be_delivered(place: Place, tmp_path: Path) -> None:
    """A clock that was years behind makes no journal too old before it is tried."""
    for path in (*tmp_path.glob("outbox/job-*"), *tmp_path.glob("outbox/job-*/*")):
        os.utime(path, (0, 0))
    place.orphaned_outboxes.sweep()
    assert place.api.messages()[:3] == ["line 0", "line 1", "line 2"]
    assert not place.is_left


def test_of_a_job_whose_end_another_has_told(place: Place) -> None:
    """The last line of a journal is not said again, and nothing of it alone."""
    line = "2026-01-01T00:00:00.000009Z the job finished"
    for taken in (True, False):
        with place.open() as journal:
            if taken:
                journal.discard()
            record = Log(severity="INFO", logger="dioptra_worker", message=line)
            if not taken:
                journal.log.put(replace(record, message=f"{line[:-21]}8Z a line"))
            journal.log.put(record)
            journal.record_run("abc")
            journal.record_final_status(
                PendingStatus(JOB, EXPERIMENT, "finished", "", line=line)
            )
        place.orphaned_outboxes.sweep()
        assert not place.is_left
        if taken:
            assert place.api.log == []
    said, note = place.api.messages()
    assert said == "a line"
    assert "delivered late: 1 log records" in note


@pytest.mark.parametrize("has_run", [True, False])
def test_of_an_attempt_that_does_not_count(place: Place, *, has_run: bool) -> None:
    """When the job ended in another attempt, only lines come, each with a mark.

    That attempt may have ended before it had an MLflow run, which the API shows then.
    """
    if has_run:
        place.api.run_id = "another"
    else:
        place.leases.ended = 2
    place.orphaned_outboxes.sweep()
    assert place.api.messages()[:3] == [f"[attempt 1] line {n}" for n in range(3)]
    assert (place.api.metrics, place.api.artifacts) == ({}, [])
    assert place.api.statuses == []
    assert not place.is_left


def test_of_a_job_that_another_machine_runs(place: Place) -> None:
    """The lines come with their attempt's number, without results, at second look."""
    place.api.status = "started"
    place.leases.elsewhere = {JOB}
    place.orphaned_outboxes.sweep()
    assert place.api.log == []
    place.orphaned_outboxes.sweep()
    assert place.api.messages()[:3] == [f"[attempt 1] line {n}" for n in range(3)]
    assert place.api.metrics == {}
    assert place.api.artifacts == []
    assert not place.is_left


def test_of_an_end_that_another_machine_tells(place: Place) -> None:
    """What the very attempt has left whose end is told there counts, once it is."""
    place.api.status = "started"
    place.leases.elsewhere = {JOB}
    place.leases.pending = PendingStatus(JOB, EXPERIMENT, "finished", "", attempt=1)
    for _ in range(3):
        place.orphaned_outboxes.sweep()
    assert place.api.log == []
    assert place.is_left
    place.api.status, place.leases.elsewhere = "finished", set()
    place.orphaned_outboxes.sweep()
    assert place.api.metrics == {("loss", 1): 1.0}
    assert place.api.messages()[:3] == [f"line {n}" for n in range(3)]
    assert not place.is_left


@pytest.mark.parametrize("is_away", [False, True])
def test_a_job_that_the_api_cannot_show(place: Place, *, is_away: bool) -> None:
    """It is left for later, and what is old is removed; an outage ends the sweep."""
    removed: list[bool] = []
    place.journals.remove_stale = lambda: removed.append(True)  # type: ignore[method-assign]
    place.api.fault = lambda what: (
        Fault(status=500) if is_away or what == "GET job" else None
    )
    for place.time in (0.0, 5.0):
        before = len(place.api.requests)
        with (
            pytest.raises(ServiceUnavailable)
            if is_away or not place.time
            else (contextlib.nullcontext())
        ):
            place.orphaned_outboxes.sweep()
        assert (len(place.api.requests) > before) is (is_away or not place.time)
    assert removed == ([] if is_away else [True, True])
    place.time = 60.0
    place.api.fault = lambda _: None
    place.orphaned_outboxes.sweep()
    assert place.api.metrics == {("loss", 1): 1.0}


@pytest.mark.parametrize("status", ["queued", "started"])
def test_of_a_job_that_may_run_here(place: Place, status: str) -> None:
    """What is left of a job that this machine may run is left for that."""
    place.api.status = status
    for _ in range(3):
        place.orphaned_outboxes.sweep()
    assert place.api.log == []
    assert place.is_left


def test_of_a_deleted_job(place: Place) -> None:
    """What is left of a job that was deleted is removed."""
    place.api.deleted = True
    place.orphaned_outboxes.sweep()
    assert not place.is_left
    assert place.api.log == []


def test_of_a_live_worker(place: Place) -> None:
    """A journal whose owner lives is left alone, whatever became of the job."""
    with place.open():
        place.orphaned_outboxes.sweep()
        assert place.api.log == []
    assert place.is_left


def test_what_the_api_fails_at_alone(tmp_path: Path) -> None:
    """It holds up no sweep, and is tried after pauses that grow."""
    place = Place(tmp_path)
    place.api.fault = lambda what: (
        Fault(status=500) if what == "POST artifact" else None
    )
    tries = []
    for place.time in (0.0, 5.0, 11.0, 20.0, 32.0, 60.0):
        before = place.api.requests.count("POST artifact")
        place.orphaned_outboxes.sweep()
        tries.append(place.api.requests.count("POST artifact") > before)
    assert tries == [True, False, True, False, True, False]
    place.api.fault = lambda _: None
    place.time = 1000.0
    place.orphaned_outboxes.sweep()
    assert place.api.artifacts == ["s3://b/a"]


def test_a_journal_that_others_have_delivered(tmp_path: Path) -> None:
    """Nothing is remembered of it: what is left of the job later is tried at once."""
    place = Place(tmp_path)
    place.api.fault = lambda what: (
        Fault(status=500) if what == "POST artifact" else None
    )
    place.orphaned_outboxes.sweep()
    with place.open() as journal:
        journal.discard()
    place.orphaned_outboxes.sweep()
    place.api.fault = lambda _: None
    orphaned_outboxes = place.orphaned_outboxes
    place.__post_init__()
    orphaned_outboxes.sweep()
    assert place.api.artifacts == ["s3://b/a"]
