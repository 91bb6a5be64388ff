"""Somebody writes into RQ's keys: workers say which, and go on once it is mended."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from rq.job import Job
from tests.plugins.testbed import Platform
from tests.plugins.until import until
from tests.plugins.valkey import valkey
from tests.plugins.worker_process import times, worker

from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.leases import Leases
from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.broker.rq.registries import Registries
from dioptra_worker.broker.rq.rq_worker import QueueEntry, RqWorker
from dioptra_worker.common.outcome import Outcome
from dioptra_worker.daemon.recovery.sweep import Recovery
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis
    from tests.plugins.clients import ApiClient

    from dioptra_worker.tools.local import LocalStack

JOB = 7
DONE = Outcome(fate="finished", reason="", mlflow="FINISHED")
TYPES: dict[str, Callable[[redis.Redis, str], object]] = {
    "string": lambda client, key: client.set(key, "nonsense"),
    "stream": lambda client, key: client.xadd(key, {"field": "value"}),
}
"""Of which no key of those below is."""


@pytest.fixture(scope="module", name="url")
def _url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("valkey")) as port:
        yield f"redis://127.0.0.1:{port}/0"


class Books:
    """RQ's books of one worker, with a queue of its own."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.registries = Registries(client, intermediate=0.0)
        self.queue = self.registries.queue(uuid4().hex)
        self.rq = RqWorker(
            [self.queue.name],
            name=uuid4().hex,
            connection=client,
            result_ttl=60,
            silence=60.0,
        )

    def enqueue(self) -> None:
        """Have a job wait in the queue."""
        request = JobRequest(job_id=JOB, experiment_id=3, time_limit=None, worker="")
        self.registries.enqueue(request, self.queue, "1h")

    def take(self) -> QueueEntry:
        """Take it out."""
        entry = self.rq.dequeue()
        assert entry is not None
        return entry

    def sweep(self) -> None:
        """Look for what lost workers have left in this queue."""
        gone = SimpleNamespace(jobs_with_status=lambda *_, **__: ([], 0))
        Recovery(
            api=gone,  # type: ignore[arg-type] # not asked for more
            leases=Leases(self.client, worker="w"),
            registries=self.registries,
            queues=[self.queue],
            lost_after=3600.0,
            close_run=lambda *_: True,
            close_begun=lambda *_: True,
        )._sweep_rq(self.queue)


@pytest.fixture(name="books")
def _books(url: str) -> Iterator[Books]:
    with connect(url) as client:
        client.flushdb()
        yield Books(client)


@contextmanager
def _named(key: str) -> Iterator[None]:
    """What is done says which key is wrong, and what to do about it."""
    with pytest.raises(ServiceUnavailable) as raised:
        yield
    words = str(raised.value)
    assert repr(key) in words
    assert "rename or delete it, and the worker goes on" in words


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "key", ["rq:workers", "rq:workers:{queue}", "rq:worker:{worker}"]
)
def test_lists_of_workers(key: str, kind: str, books: Books) -> None:
    """A worker that cannot be registered says why, and is when it can be."""
    key = key.format(queue=books.queue.name, worker=books.rq.name)
    calls = (books.rq.register, lambda: books.rq.send_heartbeat(None))
    for call in calls:
        books.client.delete(key)
        TYPES[kind](books.client, key)
        with _named(key):
            call()
        books.client.delete(key)
        call()
    books.rq.unregister()


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("key", ["rq:wip:{}", "rq:queue:{}:intermediate"])
def test_what_is_under_way(key: str, kind: str, books: Books) -> None:
    """A job that cannot be begun, or be looked for, is when that is mended."""
    books.rq.register()
    books.enqueue()
    entry = books.take()
    key = key.format(books.queue.name)
    books.client.delete(key)
    TYPES[kind](books.client, key)
    calls: list[Callable[[], object]] = [
        lambda: books.rq.start_job(entry),
        books.sweep,
        lambda: books.registries.requeue(str(JOB), books.queue),
    ]
    for call in calls:
        with _named(key):
            call()
    books.client.delete(key)
    books.rq.end_job(books.rq.start_job(entry), DONE)
    assert books.queue.finished_job_registry.get_job_ids() == [str(JOB)]


@pytest.mark.parametrize("kind", TYPES)
def test_what_has_ended(kind: str, books: Books) -> None:
    """A job whose end cannot be written down keeps it until it can be."""
    books.rq.register()
    books.enqueue()
    active = books.rq.start_job(books.take())
    key = books.queue.finished_job_registry.key
    TYPES[kind](books.client, key)
    with _named(key):
        books.rq.end_job(active, DONE)
    books.client.delete(key)
    books.rq.end_job(active, DONE)
    assert books.queue.finished_job_registry.get_job_ids() == [str(JOB)]
    assert books.queue.started_job_registry.get_job_ids() == []


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("key", ["rq:job:7", "rq:executions:7", "rq:results:7"])
def test_what_is_kept_for_one_job(
    key: str, kind: str, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    """It holds up neither the worker nor the sweep: it is removed, and told."""
    caplog.set_level(logging.WARNING)
    books.rq.register()
    books.enqueue()
    active = books.rq.start_job(books.take())
    books.client.delete(key)
    if kind == "stream" and key.startswith("rq:results"):
        kind = "string"
    TYPES[kind](books.client, key)

    def is_swept() -> bool:
        try:
            books.sweep()
        except ServiceUnavailable:
            return False
        return True

    def has_ended() -> bool:
        try:
            books.rq.end_job(active, DONE)
        except ServiceUnavailable:
            return False
        return True

    assert any(has_ended() for _ in range(3))
    assert any(is_swept() for _ in range(3))
    assert books.queue.started_job_registry.get_job_ids() == []


def test_one_odd_job_among_lost_ones(books: Books) -> None:
    """A key that is no job keeps the sweep from no other job of its queue."""
    books.rq.register()
    books.enqueue()
    books.rq.start_job(books.take())
    books.client.zadd(books.queue.started_job_registry.key, {"6:execution": 10**12})
    books.client.set("rq:job:6", "nonsense")
    books.client.hset(Job.key_for(str(JOB)), "worker_name", "gone")
    for _ in range(3):
        try:
            books.sweep()
        except ServiceUnavailable:
            continue
    assert str(JOB) in books.queue.get_job_ids()


SOURCE = """
@pyplugs.register
def nothing():
    print("ran")
"""


def test_a_worker_goes_on(
    api: ApiClient, stack: LocalStack, redis_client: redis.Redis, tmp_path: Path
) -> None:
    """A real worker says what is wrong, and runs its job once that is mended."""
    platform = Platform(api)
    key = f"rq:wip:{platform.queue}"
    redis_client.set(key, "nonsense")
    job = platform.submit(platform.entrypoint(SOURCE, {"one": {"nothing": []}}))
    with worker(
        stack.environment(), tmp_path, platform.queue, settings=times()
    ) as running:
        running.wait_for(f"Redis' key {key!r} holds a string")
        assert running.process.poll() is None
        redis_client.delete(key)
        assert platform.wait(job) == "finished"
        until(lambda: redis_client.zcard(key) == 0)
