"""Who listens where, and why a job waits, on a real Valkey."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from rq import Queue
from rq.worker import Worker

from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.rq.workers import workers
from dioptra_worker.tools.jobs.control.listeners import listeners
from dioptra_worker.tools.jobs.job_row import JobRow
from dioptra_worker.tools.jobs.waiting import WaitingReader
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from dioptra_worker.tools.local import LocalStack


@pytest.fixture(name="url", scope="module")
def _url(stack: LocalStack) -> str:
    return stack.environment()["RQ_REDIS_URI"]


@pytest.fixture(name="client")
def _client(url: str) -> Iterator[redis.Redis]:
    with connect(url) as client:
        yield client


def _job(number: int, queue: str) -> JobRow:
    time = datetime.now(UTC) - timedelta(minutes=3)
    return JobRow(
        id=number,
        status="queued",
        name="train",
        description="",
        user="ada",
        queue=queue,
        experiment="trials",
        experiment_id=1,
        entrypoint_id=2,
        tags=(),
        created=time,
        modified=time,
        since=time,
    )


def test_why_a_job_waits(url: str, client: redis.Redis) -> None:
    """It is told how many are before it, and who listens, whoever's worker that is."""
    token = uuid4().hex[:8]
    queue = Queue(f"q-{token}", connection=client)
    for number in (1, 2, 3):
        queue.enqueue_call("no.such", job_id=f"{number}{int(token, 16)}")
    jobs = [_job(int(f"{number}{int(token, 16)}"), queue.name) for number in (1, 2, 3)]
    reader = WaitingReader({"RQ_REDIS_URI": url})

    def sentence(job: JobRow) -> str:
        found = reader.read(job)
        assert found is not None
        return found.sentence(datetime.now(UTC))

    where = f"queued in {queue.name!r} for 3 min"
    nobody = f"no worker listens there: start one, `dioptra-worker start {queue.name}`"
    assert sentence(jobs[0]) == f"{where}, next; {nobody}"
    assert sentence(jobs[1]) == f"{where}, behind 1 other; {nobody}"
    with pytest.raises(Unknown, match=f"there is '{queue.name}'"):
        listeners({"RQ_REDIS_URI": url}, queue=f"q-{token}x")
    worker = Worker([queue], connection=client, name=f"theirs-{token}")
    worker.register_birth()
    try:
        assert sentence(jobs[2]).endswith(
            f", behind 2 others; 'theirs-{token}' listens there, 1 of 1 free"
        )
        worker.set_state("busy")
        assert sentence(jobs[2]).endswith("listens there, busy")
        (seen,) = listeners({"RQ_REDIS_URI": url}, queue=queue.name)
        assert (seen.name, seen.queues) == (worker.name, (queue.name,))
        assert seen.since is not None
        assert abs((datetime.now(UTC) - seen.since).total_seconds()) < 60
    finally:
        worker.register_death()
    assert listeners({"RQ_REDIS_URI": url}, queue=queue.name) == []
    queue.delete()


def test_records_that_are_none(client: redis.Redis) -> None:
    """What somebody else has put there hides no worker and stops nobody."""
    token = uuid4().hex[:8]
    key = f"rq:worker:odd-{token}"
    try:
        for name in (key, f"rq:worker:gone-{token}", b"\xff"):
            client.sadd("rq:workers", name)
        client.lpush(key, "x")
        assert not [worker for worker in workers(client) if token in worker.name]
        client.delete(key)
        client.hset(key, mapping={"queues": "a,,b", "birth": "soon", "pid": "x"})
        (seen,) = [worker for worker in workers(client) if token in worker.name]
        assert (seen.queues, seen.since, seen.pid) == (("a", "b"), None, None)
    finally:
        client.delete(key)
        client.srem("rq:workers", key, f"rq:worker:gone-{token}", b"\xff")
