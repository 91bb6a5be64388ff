"""RQ's registries, the queue watcher and the commands, on a real Valkey."""

from __future__ import annotations

import queue
import time
import tracemalloc
import zlib
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from rq import Queue
from rq.command import send_command
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.utils import now
from rq.worker import Worker
from tests.integration import rq_entries

from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.records import PROCESS_FIELD, dump_record, this_process
from dioptra_worker.broker.rq.commands import CommandListener
from dioptra_worker.broker.rq.payload import FUNCTION, PlainSerializer, read_request
from dioptra_worker.broker.rq.queue_watcher import QueueWatcher
from dioptra_worker.broker.rq.registries import Registries
from dioptra_worker.broker.rq.rq_worker import (
    RqWorker,
)
from dioptra_worker.common.outcome import Outcome
from dioptra_worker.common.stop import StopRequests
from dioptra_worker.daemon.job.heartbeat import HEARTBEAT_INTERVAL, SILENCE_OF_THE_DEAD
from dioptra_worker.errors import PayloadError, ServiceUnavailable
from dioptra_worker.settings import LEASE_TTL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from dioptra_worker.tools.local import LocalStack

Fate = Any


@pytest.fixture(name="url", scope="module")
def _url(stack: LocalStack) -> str:
    return stack.environment()["RQ_REDIS_URI"]


@pytest.fixture(name="client")
def _client(url: str) -> Iterator[redis.Redis]:
    with connect(url) as client:
        yield client


class Office:
    """Two queues of a test's own, and a worker on them."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        token = uuid4().hex[:8]
        self.names = [f"urgent-{token}", f"later-{token}"]
        self.urgent, self.later = (self.queue(name) for name in self.names)
        self.worker = self.hire(f"worker-{token}")

    def queue(self, name: str) -> Queue:
        """One of the queues, as the platform sees it."""
        return Queue(name, connection=self.client, default_timeout=3600)

    def hire(self, name: str | None, **options: Any) -> RqWorker:
        """Make a worker."""
        given = {"silence": SILENCE_OF_THE_DEAD, **options}
        return RqWorker(
            self.names, name=name, connection=self.client, result_ttl=500, **given
        )

    def submit(self, where: Queue, **options: Any) -> str:
        """Enqueue a job as the platform does; its id."""
        kwargs = {"job_id": 7, "experiment_id": 3}
        job = where.enqueue(FUNCTION, kwargs=kwargs, **options)
        return str(job.id)

    def begin(self, where: Queue | None = None) -> Any:
        """Submit, take and begin a job."""
        self.submit(where or self.urgent)
        taken = self.worker.dequeue()
        assert taken is not None
        return self.worker.start_job(taken)

    def fetch(self, job_id: str) -> Job:
        """RQ's record of a job."""
        return Job.fetch(job_id, connection=self.client, serializer=PlainSerializer)

    def listed(self) -> dict[str, list[str]]:
        """Which lists and registries have which jobs; empty ones are left out."""
        found = {}
        for short, each in (("urgent", self.urgent), ("later", self.later)):
            found[f"{short} queue"] = each.get_job_ids()
            found[f"{short} intermediate"] = [
                str(item, "ascii") if isinstance(item, bytes) else item
                for item in self.client.lrange(each.intermediate_queue_key, 0, -1)
            ]
            for kind in (StartedJobRegistry, FinishedJobRegistry, FailedJobRegistry):
                registry = kind(queue=each)
                name = f"{short} {kind.__name__.removesuffix('JobRegistry').lower()}"
                found[name] = registry.get_job_ids(cleanup=False)
        return {name: ids for name, ids in found.items() if ids}


@pytest.fixture(name="office")
def _office(client: redis.Redis) -> Iterator[Office]:
    office = Office(client)
    office.worker.register()
    yield office
    office.worker.unregister()
    for each in (office.urgent, office.later):
        each.delete(delete_jobs=True)


def _verdict(fate: Fate, reason: str = "why") -> Outcome:
    return Outcome(fate=fate, reason=reason, mlflow="FAILED")


# -- the worker --------------------------------------------------------------------


def test_rq_sees_the_worker(office: Office) -> None:
    """A worker is in RQ's lists from its registration to its end, and beats."""
    name = office.worker.name
    assert name in {worker.name for worker in Worker.all(queue=office.later)}
    assert office.client.hget(office.worker.key, "state") == b"idle"
    office.worker.send_heartbeat(None)
    assert 0 < office.client.ttl(office.worker.key) <= LEASE_TTL
    office.worker.unregister()
    assert name not in {worker.name for worker in Worker.all(queue=office.later)}
    office.worker.register()


@pytest.mark.parametrize("ttl", [6.0, 60.0, 90.0])
def test_a_birth_counts_as_long_as_a_heartbeat(office: Office, ttl: float) -> None:
    """Of a worker that never beats it is known as soon that it is gone."""
    worker = office.hire(None, ttl=ttl)
    worker.register()
    assert 0 < office.client.ttl(worker.key) <= ttl
    worker.unregister()


def test_a_heartbeat_registers_anew(office: Office) -> None:
    """A worker that a Redis without memory has forgotten is in its lists again."""
    office.client.delete(office.worker.key)
    office.client.srem("rq:workers", office.worker.key)
    for each in (office.urgent, office.later):
        office.client.delete(f"rq:workers:{each.name}")
    office.worker.send_heartbeat(None)
    names = {worker.name for worker in Worker.all(queue=office.urgent)}
    assert office.worker.name in names


@pytest.mark.parametrize(
    "traces",
    [
        {"birth": "2001-01-01T00:00:00.000000Z"},
        {"pid": str(2**22 + 1)},
        {"process": replace(this_process("dead"), birth="long ago")},
    ],
    ids=["born before us with our number", "its number is nobody's", "by its process"],
)
def test_a_dead_namesake_is_replaced(office: Office, traces: dict[str, Any]) -> None:
    """A worker with a fixed name comes back although it never said goodbye."""
    process = traces.pop("process", None)
    if process is None:  # of another kind of worker, or an earlier version
        office.client.hdel(office.worker.key, PROCESS_FIELD)
    else:
        office.client.hset(office.worker.key, PROCESS_FIELD, dump_record(process))
    for field, value in traces.items():
        office.client.hset(office.worker.key, field, value)
    again = office.hire(office.worker.name)
    again.register()
    assert not office.client.hexists(again.key, "death")
    assert office.client.hget(again.key, "state") == b"idle"


def test_a_namesake_that_cannot_be_seen(office: Office) -> None:
    """One of another container with our host's name lives as long as it beats."""
    silence = 0.2
    again = office.hire(office.worker.name, silence=silence)
    elsewhere = replace(this_process("other"), namespace="pid:[1]", pid=1)
    for beat in range(3):
        office.client.hset(
            office.worker.key,
            mapping={PROCESS_FIELD: dump_record(elsewhere), "last_heartbeat": beat},
        )
        with pytest.raises(ServiceUnavailable, match="already"):
            again.register()
        time.sleep(silence)
    again.register()
    assert office.client.hget(again.key, "state") == b"idle"


@pytest.mark.parametrize("timeout", ["1.5h", "soon"])
def test_an_entry_with_a_bad_field_is_dropped(office: Office, timeout: str) -> None:
    """An entry that RQ cannot read is dropped, and the one behind it is taken."""
    bad = office.urgent.enqueue(FUNCTION, job_id=f"bad-{uuid4().hex}")
    office.client.hset(bad.key, "timeout", timeout)
    office.client.rpush(office.urgent.key, b"\xff\xfe")
    good = office.urgent.enqueue(FUNCTION, job_id=f"good-{uuid4().hex}")
    taken = office.worker.dequeue()
    assert taken is not None
    assert taken.id == good.id
    assert office.client.lrange(office.urgent.intermediate_queue_key, 0, -1) == [
        good.id.encode()
    ]


def test_beginning_twice_is_one_run(office: Office) -> None:
    """When the answer to a begin was lost, the second begin replaces the first."""
    entry = office.urgent.enqueue(FUNCTION, job_id=f"twice-{uuid4().hex}")
    taken = office.worker.dequeue()
    assert taken is not None
    office.worker.start_job(taken)
    office.worker._unsure[entry.id] = office.worker.executions.popitem()[1]
    office.worker.start_job(taken)
    registry = StartedJobRegistry(queue=office.urgent)
    assert office.client.zcard(registry.key) == 1


def test_a_job_whose_end_takes_longer_than_its_limit(office: Office) -> None:
    """A job stays in RQ's books while its end is delivered, however long that takes."""
    taken = office.begin()
    taken.job.timeout = 1
    taken.job.started_at = now() - timedelta(hours=1)
    office.worker.send_heartbeat(taken)
    assert office.client.ttl(taken.execution.key) > HEARTBEAT_INTERVAL
    registry = StartedJobRegistry(queue=office.urgent)
    assert registry.get_job_ids(cleanup=True) == [taken.id]


def test_a_worker_that_said_goodbye_is_dead(office: Office) -> None:
    """RQ keeps its record for a minute, which nobody takes for its life."""
    office.begin()
    registries = Registries(office.client)
    assert list(registries.started(office.urgent).values()) == [True]
    office.client.hset(office.worker.key, "death", "now")
    assert list(registries.started(office.urgent).values()) == [False]


def test_a_job_of_a_namesake_counts_as_nobodys(office: Office) -> None:
    """A worker of ours with another job, or none, does not run what is its name's."""
    office.begin()
    registries = Registries(office.client)
    office.client.hset(office.worker.key, "current_job", "0")
    assert list(registries.started(office.urgent).values()) == [False]
    office.client.hdel(office.worker.key, "current_job")
    assert list(registries.started(office.urgent).values()) == [False]
    office.client.hdel(office.worker.key, PROCESS_FIELD)  # as one of the platform's
    assert list(registries.started(office.urgent).values()) == [True]


def test_a_record_that_was_restored_is_put_right(office: Office) -> None:
    """What a Redis that was restored says of our job is what was before it ended."""

    def said() -> list[Any]:
        found: Any = office.client.hmget(office.worker.key, "state", "current_job")
        return list(found)

    taken = office.begin()
    restored: Any = {"state": "busy", "current_job": taken.id}
    office.worker.send_heartbeat(None)  # before it is told of the job
    assert said() == [b"busy", taken.id.encode()]
    office.worker.end_job(taken, _verdict("finished"))
    office.client.hset(office.worker.key, mapping=restored)
    office.worker.send_heartbeat(None)
    assert said() == [b"idle", None]

    taken = office.begin()
    office.client.hset(office.worker.key, mapping={"state": "idle", "current_job": "0"})
    office.worker.send_heartbeat(taken)
    assert said() == [b"busy", taken.id.encode()]
    office.worker.end_job(taken, _verdict("finished"))


def test_a_namesake_that_lives_is_not_replaced(office: Office) -> None:
    """Two workers of one name cannot be registered at the same time."""
    office.worker.send_heartbeat(None)
    with pytest.raises(ServiceUnavailable, match="already"):
        office.hire(office.worker.name).register()


def test_a_worker_whose_name_another_has_writes_nothing_of_it(office: Office) -> None:
    """Who was silent for too long, and was replaced, leaves the record alone."""
    worker = office.worker
    taken = office.begin()
    worker.send_heartbeat(taken)
    assert worker.replaced_by is None
    other = replace(this_process(worker.name), pid=1, host="elsewhere", boot="x")
    office.client.hset(worker.key, PROCESS_FIELD, dump_record(other))
    office.client.persist(worker.key)
    worker.send_heartbeat(taken)
    assert worker.replaced_by is None  # it may be of a Redis that was restored
    office.client.hset(worker.key, "last_heartbeat", "2038-01-01T00:00:00.000000Z")
    before = office.client.hgetall(worker.key)
    worker.send_heartbeat(taken)
    assert worker.replaced_by == "process 1 on elsewhere"
    worker.end_job(taken, _verdict("dropped"))
    worker.send_heartbeat(None)
    worker.unregister()
    assert office.client.hgetall(worker.key) == before
    assert office.client.ttl(worker.key) == -1


def test_a_record_of_who_had_our_name_before(office: Office) -> None:
    """A Redis that was restored from a snapshot makes no worker end."""
    worker = office.worker
    taken = office.begin()
    earlier = replace(this_process(worker.name), pid=2**22 + 1, birth="long ago")
    office.client.hset(worker.key, PROCESS_FIELD, dump_record(earlier))
    worker.send_heartbeat(taken)
    assert worker.replaced_by is None
    assert office.client.hget(worker.key, PROCESS_FIELD) == dump_record(
        this_process(worker.name)
    )


def test_redis_that_is_away_is_a_service_that_is_away(office: Office) -> None:
    """Where Redis does not answer, waiting may help."""
    worker = office.hire(None)
    worker.connection = connect("redis://127.0.0.1:9")
    for call in (worker.dequeue, worker.register, worker.suspended):
        with pytest.raises(ServiceUnavailable, match="Redis"):
            call()


# -- jobs --------------------------------------------------------------------------


def test_queues_in_turn(office: Office) -> None:
    """With --dequeue-strategy round_robin, queues that have jobs are taken in turn."""
    worker = office.hire(None, strategy="round_robin")
    for where in (office.urgent, office.urgent, office.later, office.later):
        office.submit(where)
    taken = [entry.queue.name for _ in range(4) if (entry := worker.dequeue())]
    assert taken == office.names * 2
    assert worker.dequeue() is None


def test_queues_at_random(office: Office) -> None:
    """With --dequeue-strategy random, no queue waits until the others are empty."""
    worker = office.hire(None, strategy="random")
    for _ in range(40):
        office.submit(office.urgent)
    office.submit(office.later)
    taken = [entry.queue.name for _ in range(41) if (entry := worker.dequeue())]
    assert sorted(taken) == sorted([office.names[0]] * 40 + [office.names[1]])
    assert taken[-1] == office.names[0]


def test_urgent_queues_first(office: Office) -> None:
    """Jobs are taken by the order of the queues, then by their age."""
    last = office.submit(office.later)
    first = office.submit(office.urgent)
    second = office.submit(office.urgent)
    taken = []
    while (found := office.worker.dequeue()) is not None:
        taken.append((found.id, found.queue.name))
    assert taken == [
        (first, office.names[0]),
        (second, office.names[0]),
        (last, office.names[1]),
    ]
    assert office.worker.dequeue() is None


def test_a_job_is_always_in_exactly_one_place(office: Office) -> None:
    """From queue to end, a job is in one of RQ's lists, so that none can be lost."""
    job_id = office.submit(office.later)
    assert office.listed() == {"later queue": [job_id]}
    found = office.worker.dequeue()
    assert found is not None
    assert office.listed() == {"later intermediate": [job_id]}
    taken = office.worker.start_job(found)
    assert office.listed() == {"later started": [job_id]}
    assert office.fetch(job_id).get_status() == "started"
    assert office.client.hget(office.worker.key, "current_job") == job_id.encode()
    assert office.client.hget(office.worker.key, "state") == b"busy"
    office.worker.end_job(taken, _verdict("finished"))
    assert office.listed() == {"later finished": [job_id]}
    assert office.client.hget(office.worker.key, "state") == b"idle"
    assert office.client.hget(office.worker.key, "current_job") is None


@pytest.mark.parametrize(
    ("fate", "status", "place"),
    [
        ("finished", "finished", "urgent finished"),
        ("failed", "failed", "urgent failed"),
        ("stopped", "stopped", "urgent failed"),
        ("given back", "queued", "urgent queue"),
        ("left", "started", "urgent started"),
    ],
)
def test_how_a_job_ended_is_in_the_books(
    fate: Fate, status: str, place: str, office: Office
) -> None:
    """Each fate is what RQ calls it, in the registry where RQ has it."""
    taken = office.begin()
    office.worker.end_job(taken, _verdict(fate))
    job = office.fetch(taken.job.id)
    assert job.get_status() == status
    assert office.listed() == {place: [job.id]}
    if fate == "failed":
        result = job.latest_result()
        assert result is not None
        assert result.exc_string == "why"


def test_a_dropped_job_is_nobodys(office: Office) -> None:
    """A job that was deleted in the platform is in no list of RQ's any more."""
    taken = office.begin()
    office.worker.end_job(taken, _verdict("dropped"))
    assert office.listed() == {}


def test_a_given_back_job_comes_first(office: Office) -> None:
    """A job that is given back is the next one to be taken."""
    taken = office.begin()
    office.submit(office.urgent)
    office.worker.end_job(taken, _verdict("given back"))
    found = office.worker.dequeue()
    assert found is not None
    assert found.id == taken.job.id


def test_a_finished_jobs_record_goes_in_time(office: Office) -> None:
    """The record of a finished job is kept for as long as the command line says."""
    taken = office.begin()
    assert office.client.ttl(taken.job.key) == -1
    office.worker.end_job(taken, _verdict("finished"))
    assert 0 < office.client.ttl(taken.job.key) <= 500


def test_the_heartbeat_of_a_job(office: Office) -> None:
    """While a job runs its entry among the started ones is kept from running out."""
    taken = office.begin()
    registry = StartedJobRegistry(queue=office.urgent)
    entry = f"{taken.job.id}:{taken.execution.id}"
    before = office.client.zscore(registry.key, entry)
    assert before is not None
    office.client.zadd(registry.key, {entry: before - 60})
    office.worker.send_heartbeat(taken)
    after = office.client.zscore(registry.key, entry)
    assert after is not None
    assert after >= time.time() + 60
    office.worker.end_job(taken, _verdict("finished"))


def test_a_late_heartbeat_changes_nothing(office: Office) -> None:
    """A heartbeat that comes after the end does not make the job a started one."""
    taken = office.begin()
    office.worker.end_job(taken, _verdict("finished"))
    office.worker.send_heartbeat(taken)
    assert office.listed() == {"urgent finished": [taken.job.id]}


@pytest.mark.parametrize("damage", ["gone", "no data", "bad status", "bad date"])
def test_entries_without_a_record_are_dropped(damage: str, office: Office) -> None:
    """An entry that RQ has no readable record of is dropped, and the next is taken."""
    broken = office.submit(office.urgent)
    good = office.submit(office.urgent)
    key = Job.key_for(broken)
    if damage == "gone":
        office.client.delete(key)
    elif damage == "no data":
        office.client.hdel(key, "data")
    elif damage == "bad status":
        office.client.hset(key, "status", "unheard of")
    else:
        office.client.hset(key, "created_at", "yesterday")
    found = office.worker.dequeue()
    assert found is not None
    assert found.id == good
    assert office.listed() == {"urgent intermediate": [good]}


def _zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("data", lambda: bytes(1 << 20), id="large data"),
        pytest.param("data", lambda: _zeros(1 << 28), id="a zlib bomb"),
        pytest.param(
            "data",
            lambda: zlib.compress(_zeros(1 << 28), 9),
            id="a bomb in a bomb",
        ),
        pytest.param("description", lambda: "x" * (1 << 20), id="a large description"),
        pytest.param("", str, id="no mapping"),
    ],
)
def test_oversized_entries_are_dropped_unread(
    field: str, value: Callable[[], bytes | str], office: Office
) -> None:
    """What is larger than any entry of RQ's is never fetched, and the next is taken."""
    bad = office.submit(office.urgent)
    good = office.submit(office.urgent)
    if field:
        office.client.hset(f"rq:job:{bad}", field, value())
    else:
        office.client.delete(f"rq:job:{bad}")
        office.client.set(f"rq:job:{bad}", "a string")
    tracemalloc.start()
    try:
        found = office.worker.dequeue()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found is not None
    if found.id == bad:  # it could be read, and is refused for what it holds
        with pytest.raises(PayloadError):
            read_request(found.job, worker="w")
    else:
        assert found.id == good
    assert peak < 8 << 20
    office.client.delete(f"rq:job:{bad}")


@pytest.mark.parametrize("version", rq_entries.entries())
def test_an_entry_of_another_version_of_rq(office: Office, version: str) -> None:
    """An entry that an older RQ has written is taken, read and ended as one of ours."""
    job_id = uuid4().hex
    kept = rq_entries.entries()[version]
    fields: dict[Any, Any] = {**kept, "origin": office.urgent.name}
    office.client.hset(f"rq:job:{job_id}", mapping=fields)
    office.client.rpush(office.urgent.key, job_id)
    found = office.worker.dequeue()
    assert found is not None
    assert found.id == job_id
    request = read_request(found.job, worker="w")
    assert (request.job_id, request.experiment_id) == (7, 3)
    assert request.time_limit == 3600.0
    office.worker.end_job(office.worker.start_job(found), _verdict("finished"))
    assert office.listed() == {"urgent finished": [job_id]}
    office.client.delete(f"rq:job:{job_id}", f"rq:finished:{office.urgent.name}")


def test_what_is_attached_to_an_entry_is_left_alone(office: Office) -> None:
    """Results, tracebacks and whatever else a record has are not fetched."""
    job_id = office.submit(office.urgent)
    for field in ("result", "exc_info", "meta", "somebody's own"):
        office.client.hset(f"rq:job:{job_id}", field, _zeros(1 << 27))
    found = office.worker.dequeue()
    assert found is not None
    assert found.id == job_id
    assert read_request(found.job, worker="w").job_id == 7


def test_a_refused_entry_failed_with_the_reason(office: Office) -> None:
    """An entry that is no job of ours is failed in RQ's books, with the reason."""
    office.submit(office.urgent)
    found = office.worker.dequeue()
    assert found is not None
    office.worker.refuse(found, "it calls 'os.system'")
    job = office.fetch(found.id)
    assert office.listed() == {"urgent failed": [job.id]}
    result = job.latest_result()
    assert result is not None
    assert result.exc_string == "it calls 'os.system'"


def test_a_second_delivery_is_dropped(office: Office) -> None:
    """A second delivery is dropped without a word about the first."""
    taken = office.begin()
    office.urgent.push_job_id(taken.job.id)
    found = office.worker.dequeue()
    assert found is not None
    office.worker.drop_duplicate(found, None)
    assert office.listed() == {"urgent started": [taken.job.id]}
    assert office.fetch(taken.job.id).get_status() == "started"


# -- queue watcher ---------------------------------------------------------------


def test_the_bell_rings_for_each_queue(office: Office, url: str) -> None:
    """Whichever queue gets a job, the queue watcher rings once, and takes nothing."""
    rings: queue.SimpleQueue[None] = queue.SimpleQueue()
    keys = office.worker.queue_keys()
    with QueueWatcher(partial(connect, url), keys, ready=rings) as queue_watcher:
        for where in (office.urgent, office.later, office.urgent):
            queue_watcher.watch()
            with pytest.raises(queue.Empty):
                rings.get(timeout=0.1)
            job_id = office.submit(where)
            rings.get(timeout=5)
            assert where.get_job_ids() == [job_id]
            with pytest.raises(queue.Empty):
                rings.get(timeout=0.1)
            assert office.worker.dequeue() is not None


def test_the_bell_rings_for_what_is_there_already(office: Office, url: str) -> None:
    """A queue watcher that is armed over a job that waits rings at once, each time."""
    rings: queue.SimpleQueue[None] = queue.SimpleQueue()
    office.submit(office.later)
    keys = office.worker.queue_keys()
    with QueueWatcher(partial(connect, url), keys, ready=rings) as queue_watcher:
        for _ in range(3):
            queue_watcher.watch()
            rings.get(timeout=5)


def test_the_bell_survives_a_lost_connection(office: Office, url: str) -> None:
    """A queue watcher whose connections are cut rings for what comes afterwards."""
    rings: queue.SimpleQueue[None] = queue.SimpleQueue()
    keys = office.worker.queue_keys()
    opened: list[redis.Redis] = []

    def connect_named(block: float) -> redis.Redis:
        client = connect(url, block)
        client.client_setname("x")
        opened.append(client)
        return client

    with QueueWatcher(connect_named, keys, ready=rings) as queue_watcher:
        queue_watcher.watch()
        _wait_for(lambda: _kill(office.client, "blmove") == 2)
        office.submit(office.later)
        rings.get(timeout=10)


# -- commands ----------------------------------------------------------------------


class Ear(StopRequests):
    """Hears commands."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: queue.SimpleQueue[str] = queue.SimpleQueue()

    def shut_down(self) -> None:
        """Hear the command."""
        self.heard.put("shut down")

    def stop_job(self, job_id: str) -> bool:
        """Hear the command."""
        self.heard.put(f"stop job {job_id}")
        return True

    def kill_job(self) -> None:
        """Hear the command, which cannot be obeyed."""
        self.heard.put("kill job")
        raise ZeroDivisionError


def _listening(office: Office) -> bool:
    channel = office.worker.pubsub_channel_name
    return bool(office.client.pubsub_numsub(channel)[0][1])


def test_commands_are_heard(office: Office, url: str) -> None:
    """RQ's commands arrive; what is none, or cannot be obeyed, ends nothing."""
    ear = Ear()
    channel = office.worker.pubsub_channel_name
    with CommandListener(partial(connect, url), channel, stops=ear):
        _wait_for(lambda: _listening(office))
        junk = [b"", b"junk", b"[]", b'"command"', b"5", b"{}", b"\xff\xfe"]
        junk += [b"[" * 10_000, b"[" * 1_000_000, b'{"command": ["kill-horse"]}']
        for each in junk:
            office.client.publish(channel, each)
        send_command(office.client, office.worker.name, "no-such-command")
        send_command(office.client, office.worker.name, "kill-horse")
        send_command(office.client, office.worker.name, "stop-job", job_id="7")
        assert ear.heard.get(timeout=5) == "kill job"
        assert ear.heard.get(timeout=10) == "stop job 7"


def test_commands_are_heard_after_the_connection_was_cut(
    office: Office, url: str
) -> None:
    """A listener whose connection is killed subscribes again by itself."""
    ear = Ear()
    channel = office.worker.pubsub_channel_name
    with CommandListener(partial(connect, url), channel, stops=ear):
        for _ in range(2):
            _wait_for(lambda: _listening(office))
            assert _kill(office.client, "subscribe") >= 1
            _wait_for(lambda: _listening(office))
        send_command(office.client, office.worker.name, "shutdown")
        assert ear.heard.get(timeout=5) == "shut down"


def _kill(client: redis.Redis, command: str) -> int:
    """Cut the connections whose last command is this one; how many there were."""
    ids = [
        each["id"] for each in client.client_list() if each["cmd"].startswith(command)
    ]
    return sum(int(client.client_kill_filter(_id=each)) for each in ids)


def _wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
