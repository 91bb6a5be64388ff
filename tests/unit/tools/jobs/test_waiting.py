"""Why a job waits, in words, and where nobody knows."""

from __future__ import annotations

import dataclasses
import socket
from datetime import timedelta

import pytest
from tests.unit.tools.jobs.dioptra import NOON, Dioptra

from dioptra_worker.broker.rq.workers import SeenWorker
from dioptra_worker.tools.jobs.job_row import JobRow
from dioptra_worker.tools.jobs.waiting import Waiting, WaitingReader, WaitingWatch

WORKER = SeenWorker(
    name="w0",
    queues=("cpu",),
    state="idle",
    job=None,
    host="here",
    pid=1,
    since=NOON,
    heartbeat=NOON,
)
NOW = NOON + timedelta(minutes=5)


def _workers(count: int, *, busy: int) -> tuple[SeenWorker, ...]:
    return tuple(
        dataclasses.replace(WORKER, name=f"w{i}", job="9" if i < busy else None)
        for i in range(count)
    )


@pytest.mark.parametrize(
    ("ahead", "listening", "words"),
    [
        (0, _workers(1, busy=0), ", next; 'w0' listens there, 1 of 1 free"),
        (1, _workers(2, busy=2), ", behind 1 other; 'w0' and 'w1' listen there, all"),
        (9, _workers(5, busy=2), "'w2' and 2 more listen there, 3 of 5 free"),
        (None, (), "5 min; no worker listens there: start one, `dioptra-worker start"),
    ],
)
def test_words(
    ahead: int | None, listening: tuple[SeenWorker, ...], words: str
) -> None:
    """A sentence has the queue, the time, the place, and who listens."""
    found = Waiting(queue="cpu", since=NOON, ahead=ahead, listening=listening)
    assert found.sentence(NOW).startswith("queued in 'cpu' for 5 min")
    assert words in found.sentence(NOW)


def _queued() -> JobRow:
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 1))
    return JobRow.read(dioptra.jobs[7])


def test_without_queues() -> None:
    """Who has not the address of the queues is told which variable has it."""
    found = WaitingReader({}).read(_queued())
    assert found is not None
    assert "not known: set RQ_REDIS_URI" in found.sentence(NOW)
    started = dataclasses.replace(_queued(), status="started")
    assert WaitingReader({}).read(started) is None


def test_queues_that_are_away() -> None:
    """Queues that do not answer are told, and keep nobody."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    reader = WaitingReader({"RQ_REDIS_URI": f"redis://127.0.0.1:{port}"})
    for _ in range(2):
        found = reader.read(_queued())
        assert found is not None
        assert "not known: Redis cannot be reached" in found.sentence(NOW)


def test_once_for_each_reason() -> None:
    """The same reason is not told again and again."""
    told: list[str] = []
    watch = WaitingWatch(WaitingReader({}), told.append)
    watch.look(_queued())
    assert not watch.is_due
    watch._next = 0  # as after a while
    watch.look(_queued())
    assert len(told) == 1
    assert told[0].startswith("job 7 is queued in ")
