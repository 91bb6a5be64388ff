"""Somebody writes into the workers' keys in Redis: no job hangs, no sweep ends.

What is there is of another type than a worker's, or nonsense of the right one. It is
told once, with the key's name. That nobody begins a job which may run holds here, too.
"""

from __future__ import annotations

import contextlib
import logging
import math
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.plugins.until import until
from tests.plugins.valkey import valkey

from dioptra_worker.broker.batch_leases import ElementLeases
from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.leases import Leases
from dioptra_worker.broker.parking import LONGEST_PAUSE, Parking, Trouble
from dioptra_worker.broker.records import UNKNOWN, PendingStatus, UnknownRun
from dioptra_worker.broker.rq.payload import FUNCTION
from dioptra_worker.broker.rq.registries import Registries
from dioptra_worker.broker.rq.rq_worker import RqWorker
from dioptra_worker.common.stop import JobStop, lease_clock
from dioptra_worker.daemon.recovery.sweep import Recovery
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

JOB = 7
TTL = 3.0
"""Of leases, in seconds."""
TROUBLE = Trouble(why="an answer of 500", queue="q", worker="w", patience=60.0)
RUN = "0123456789abcdef0123456789abcdef"

TYPES: dict[str, Callable[[redis.Redis, str], object]] = {
    "text": lambda client, key: client.set(key, "nonsense"),
    "bytes": lambda client, key: client.set(key, b"\xff\x00{"),
    "empty": lambda client, key: client.set(key, ""),
    "number": lambda client, key: client.set(key, "-9" * 20),
    "json": lambda client, key: client.set(key, '{"worker": 7, "since": "nan"}'),
    "list": lambda client, key: client.rpush(key, "entry"),
    "set": lambda client, key: client.sadd(key, "member"),
    "sorted": lambda client, key: client.zadd(key, {"member": 1}),
    "stream": lambda client, key: client.xadd(key, {"field": "value"}),
    "hash": lambda client, key: client.hset(key, "field", "value"),
}
FIELDS = ("", "nonsense", "[]", "7", '"x"', "{}", "null", b"\xff{", "[" * 2000)
"""What a field of a hash can hold that no worker has written."""


def _leases(client: redis.Redis) -> Leases:
    return Leases(client, worker="w", ttl=TTL)


def _attempts(client: redis.Redis) -> None:
    leases = _leases(client)
    assert leases.begin(JOB, "token").attempt == 1
    assert leases.begin(JOB, "token").attempt == 1
    leases.uncount_attempt(JOB, "token")
    assert leases.begin(JOB, "other").attempt == 1
    leases.forget_attempts(JOB)


def _uncounted(client: redis.Redis) -> None:
    leases = _leases(client)
    leases.uncount_attempt(JOB, "token")
    leases.forget_attempts(JOB)


def _pending(client: redis.Redis) -> None:
    leases, pending = _leases(client), PendingStatus(JOB, 3, "failed", "why")
    assert leases.pending_status(JOB) is None
    assert leases.record_pending_status(pending) is None
    assert leases.pending_status(JOB) == pending
    leases.clear_pending_status(JOB)
    assert leases.pending_status(JOB) is None


def _recorded(client: redis.Redis) -> None:
    pending = PendingStatus(JOB, 3, "finished", "")
    assert _leases(client).record_pending_status(pending, _owner()) is None


def _cleared(client: redis.Redis) -> None:
    _leases(client).clear_pending_status(JOB)
    Parking(client).forget(JOB)
    _leases(client).runs.forget_known(RUN)


def _open_runs(client: redis.Redis) -> None:
    runs = _leases(client).runs
    assert runs.known() == {}
    assert runs.record_known(RUN, "FAILED", job_id=JOB)
    assert runs.known() == {RUN: "FAILED"}
    runs.forget_known(RUN)
    assert runs.known() == {}


def _opened(client: redis.Redis) -> None:
    assert _leases(client).runs.record_known(RUN, "FAILED", job_id=JOB)
    assert _leases(client).runs.known()[RUN] == "FAILED"


def _parked(client: redis.Redis) -> None:
    parking = Parking(client)
    assert parking.look(JOB) is None
    assert 0 < parking.park(JOB, TROUBLE).left <= LONGEST_PAUSE
    parked = parking.look(JOB)
    assert parked is not None
    assert 0 < parked.left <= LONGEST_PAUSE
    assert [found.job_id for found in parking.all()] == [JOB]
    parking.forget(JOB)
    assert parking.look(JOB) is None


def _looked_at(client: redis.Redis) -> None:
    registries = Registries(client, intermediate=0.0)
    queue = registries.queue(uuid4().hex)
    client.rpush(queue.intermediate_queue_key, str(JOB))
    found = [registries.intermediate(queue) for _ in range(3)]
    assert [str(JOB)] in found


def _elements(client: redis.Redis) -> None:
    batch = ElementLeases(client, "run")
    assert list(batch.records()) == []
    batch.renew(["a"], token="x")
    assert batch.set_state("a", "error", token="x") == "lost"
    assert batch.acquire("a", job=JOB, token="x") == "granted"
    assert batch.set_state("a", "processed", token="x") == "settled"
    assert [record.state for record in batch.records()] == ["processed"]


def _begun(client: redis.Redis) -> None:
    leases = _leases(client)
    assert leases.begin(JOB, RUN).attempt == 1
    assert RUN in leases.runs.begun()


def _looked_for(client: redis.Redis) -> None:
    runs = _leases(client).runs
    assert runs.begun() == {}
    assert runs.record_begun(RUN, UnknownRun(JOB, "FAILED"))
    assert runs.begun() == {RUN: UnknownRun(JOB, "FAILED")}


def _closed(client: redis.Redis) -> None:
    runs = _leases(client).runs
    assert runs.record_begun(RUN, UnknownRun(JOB, "FAILED"))
    closing = runs.begin_closing(RUN, JOB)
    assert closing is not None
    runs.end_closing(closing, is_looked_for=True)
    assert runs.begun() == {RUN: UnknownRun(JOB, "FAILED", looks=1)}


def _taken_over(client: redis.Redis) -> None:
    runs = _leases(client).runs
    assert runs.record_begun(RUN, UnknownRun(JOB, "KILLED"))
    assert runs.take_over(JOB, "FAILED", token="other")
    assert runs.begun() == {RUN: UnknownRun(JOB, "FAILED")}


def _let_go(client: redis.Redis) -> None:
    leases = _leases(client)
    assert leases.acquire(JOB) is None
    leases.release(JOB, RUN)
    assert leases.acquire(JOB) is None


SHARED: dict[str, tuple[str, tuple[Callable[[redis.Redis], None], ...]]] = {
    f"dioptra-worker:attempts:{JOB}": ("", (_attempts, _uncounted)),
    f"dioptra-worker:attempts:{JOB}:counted": ("", (_attempts, _uncounted)),
    "dioptra-worker:pending": ("hash", (_pending, _recorded, _cleared)),
    "dioptra-worker:open-runs": ("hash", (_open_runs, _opened, _cleared)),
    "dioptra-worker:unknown-runs": ("hash", (_begun, _looked_for, _let_go)),
    f"dioptra-worker:closing:{JOB}": ("", (_closed, _taken_over)),
    "dioptra-worker:parked": ("hash", (_parked, _cleared)),
    f"dioptra-worker:in-between:{JOB}": ("", (_looked_at,)),
    "dioptra-worker:activity:run": ("hash", (_elements,)),
}
"""Our keys: the type that fields are tried for instead, and what is done with each.

Leases and turns are below: what is there has its time.
"""
HASHES = {
    "dioptra-worker:pending": (str(JOB), _pending),
    "dioptra-worker:open-runs": ("no run of MLflow's", _open_runs),
    "dioptra-worker:unknown-runs": ("no start's token", _looked_for),
    "dioptra-worker:parked": (str(JOB), _parked),
}


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with (
        valkey(tmp_path_factory.mktemp("valkey")) as port,
        connect(f"redis://127.0.0.1:{port}") as client,
    ):
        yield client


@pytest.fixture(name="client")
def _client(server: redis.Redis) -> redis.Redis:
    server.flushall()
    return server


def _owner(seconds: float = 60.0) -> JobStop:
    stop = JobStop()
    stop.own_until(lease_clock() + seconds)
    return stop


def _told(caplog: pytest.LogCaptureFixture, key: str) -> int:
    return sum(
        f"{key!r} holds what no worker" in record.getMessage()
        for record in caplog.records
    )


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (key, kind)
        for key, (own_type, _) in SHARED.items()
        for kind in TYPES
        if kind != own_type
    ],
)
def test_shared_keys(client: redis.Redis, key: str, kind: str) -> None:
    """A key that holds something else counts as empty, whatever is done first."""
    for call in SHARED[key][1]:
        client.flushall()
        TYPES[kind](client, key)
        call(client)


@pytest.mark.parametrize("field", FIELDS, ids=range(len(FIELDS)))
@pytest.mark.parametrize("key", HASHES)
def test_shared_fields(client: redis.Redis, key: str, field: str) -> None:
    """A field that no worker has written counts as none, and others are kept."""
    name, call = HASHES[key]
    client.hset(key, name, field)
    client.hset(key, "999", field)
    call(client)


@pytest.mark.parametrize(
    "entry",
    [
        '{"since": "nan", "until_": "nan", "tries": "nan"}',
        '{"since": 1, "until_": 1e300, "tries": 1}',
        '{"since": -1e300, "until_": 1, "tries": 1}',
        '{"since": 1, "until_": 1, "tries": 1e300}',
        '{"since": 1, "until_": 1, "tries": -5}',
        '{"since": 1, "until_": 1, "tries": "1"}',
    ],
)
def test_a_pause_without_end(client: redis.Redis, entry: str) -> None:
    """A job is not parked for longer than any is, whatever its entry says."""
    client.hset("dioptra-worker:parked", str(JOB), entry)
    _parked(client)


@pytest.mark.parametrize(
    "more",
    [
        '"gives_up": 1e999, "why": 7, "queue": [[]], "worker": null',
        '"gives_up": "soon", "why": "\\u0000", "more": {"a": 1e999}',
        '"gives_up": -1, "why": {"a": {}}, "queue": true, "worker": 1e300',
    ],
)
def test_words_that_are_none(client: redis.Redis, more: str) -> None:
    """What is written beside a parked job is text and a time, or nothing."""
    entry = f'{{"since": 1, "until_": 1, "tries": 3, {more}}}'
    client.hset("dioptra-worker:parked", str(JOB), entry)
    parking = Parking(client)
    [found] = parking.all()
    assert (found.queue, found.worker, found.given_up_in) == ("", "", None)
    found.dump(datetime.now(UTC))
    assert parking.park(JOB, TROUBLE).tries == 4
    parking.forget(JOB)


@pytest.mark.parametrize(
    "pending",
    [
        '{"job_id": 7, "experiment_id": 3, "status": "reset", "reason": ""}',
        '{"job_id": 8, "experiment_id": 3, "status": "failed", "reason": ""}',
    ],
)
def test_an_end_that_is_none(client: redis.Redis, pending: str) -> None:
    """An end is one that jobs have, and this job's, or it is none."""
    client.hset("dioptra-worker:pending", str(JOB), pending)
    _pending(client)


def test_a_time_to_come(client: redis.Redis) -> None:
    """A job seen for the first time in the year 5138 is not lost until then."""
    client.set(f"dioptra-worker:in-between:{JOB}", 10**11)
    _looked_at(client)


@pytest.mark.parametrize("kind", TYPES)
def test_a_lease_of_nobody(
    client: redis.Redis, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whose lease cannot be read may live, so the job waits for its end; no longer."""
    caplog.set_level(logging.WARNING)
    key, leases = f"dioptra-worker:lease:{JOB}", _leases(client)
    TYPES[kind](client, key)
    assert leases.acquire(JOB) == UNKNOWN
    assert leases.state(JOB) == "held"
    assert 0 < client.pttl(key) <= TTL * 1000
    leases.release(JOB)
    assert leases.record_pending_status(PendingStatus(JOB, 3, "failed", "")) == UNKNOWN
    assert client.exists(key)
    client.pexpire(key, 1)
    until(lambda: leases.state(JOB) == "free")
    assert leases.acquire(JOB) is None


def test_a_lease_of_nobody_is_told_once(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever looks after workers reads the key's name, and what to do, once."""
    job = uuid4().int % 10**12
    key = f"dioptra-worker:lease:{job}"
    client.set(key, "nonsense", ex=10**6)
    leases = _leases(client)
    for _ in range(3):
        leases.acquire(job)
        leases.holder(job)
    assert _told(caplog, key) == 1
    assert "delete the key to have it run now" in caplog.text
    assert client.pttl(key) <= TTL * 1000


@pytest.mark.parametrize("kind", TYPES)
def test_a_job_that_runs_is_kept(client: redis.Redis, kind: str) -> None:
    """Who has a job by his own clock goes on, as nobody else can have taken it."""
    key, leases, stop = f"dioptra-worker:lease:{JOB}", _leases(client), JobStop()
    assert leases.acquire(JOB, stop) is None
    client.delete(key)
    TYPES[kind](client, key)
    assert leases.acquire(JOB, stop) is None
    assert leases.holder(JOB) == leases.me
    client.delete(key)
    TYPES[kind](client, key)
    pending = PendingStatus(JOB, 3, "finished", "")
    assert leases.record_pending_status(pending, stop) is None
    assert leases.holder(JOB) == leases.me


@pytest.mark.parametrize("left", [0.0, -5.0, -math.inf])
def test_a_lease_that_is_over_is_lost(client: redis.Redis, left: float) -> None:
    """Who could not renew in time takes nothing back, also not from nobody."""
    client.set(f"dioptra-worker:lease:{JOB}", "nonsense")
    assert _leases(client).acquire(JOB, _owner(left)) == UNKNOWN


def test_a_readable_lease_is_heeded(client: redis.Redis) -> None:
    """What another worker has written is never overwritten, though we own it, too."""
    other, ours, stop = _leases(client), _leases(client), JobStop()
    other = Leases(client, worker="other", ttl=TTL)
    assert ours.acquire(JOB, stop) is None
    client.delete(f"dioptra-worker:lease:{JOB}")
    assert other.acquire(JOB) is None
    assert ours.acquire(JOB, stop) == other.me


@pytest.mark.parametrize("kind", TYPES)
def test_a_turn_without_end(client: redis.Redis, kind: str) -> None:
    """Nobody has the sweep for ever: another worker's turn comes."""
    what = uuid4().hex
    TYPES[kind](client, f"dioptra-worker:turn:{what}")
    leases = _leases(client)
    assert not leases.try_become_sweeper(what, 0.2)
    until(lambda: leases.try_become_sweeper(what, 0.2))


@pytest.mark.parametrize("field", FIELDS, ids=range(len(FIELDS)))
def test_a_claim_of_nobody(client: redis.Redis, field: str) -> None:
    """An element under nonsense may be worked on, so it is held as long as a claim."""
    key, batch = "dioptra-worker:activity:run", ElementLeases(client, "run")
    assert batch.acquire("b", job=JOB, token="x") == "granted"
    client.hset(key, "a", field)
    client.hset(key, b"\xff", field)
    assert [record.element for record in batch.records()] == ["b"]
    batch.renew(["a", "b"], token="x")
    client.hset(key, "a", field)
    assert batch.set_state("a", "error", token="x") == "lost"
    client.hset(key, "a", field)
    assert batch.acquire("a", job=JOB, token="x") == "held"
    assert batch.acquire("a", job=JOB, token="x", last=True) == "held"
    found = {record.element: record for record in batch.records()}
    assert found["a"].state == "started"
    assert batch.set_state("b", "processed", token="x") == "settled"


@pytest.mark.parametrize("kind", ["text", "list"])
def test_lost_jobs_are_found(client: redis.Redis, kind: str) -> None:
    """The sweep for lost jobs goes on under any keys, and closes the runs it knows."""
    registries = Registries(client, intermediate=0.0)
    queue = registries.queue("q")
    for key in [*SHARED, f"dioptra-worker:lease:{JOB}"]:
        TYPES[kind](client, key)
    for turn in ("rq:q", "api:q", "runs"):
        TYPES[kind](client, f"dioptra-worker:turn:{turn}")
    for job in (JOB, JOB + 1):
        client.rpush(queue.intermediate_queue_key, str(job))
    no_jobs: Any = SimpleNamespace(jobs_with_status=lambda _, **__: ([], 0))
    recovery = Recovery(
        api=no_jobs,
        leases=Leases(client, worker="w", ttl=1.0),
        registries=registries,
        queues=[queue],
        lost_after=0.1,
        close_run=lambda *_: True,
        close_begun=lambda *_: True,
    )

    def found() -> set[str]:
        recovery.sweep()
        return set(queue.job_ids)

    until(lambda: str(JOB + 1) in found())
    until(lambda: str(JOB) in found())
    client.hset("dioptra-worker:open-runs", RUN, "FAILED")
    until(lambda: found() and not client.exists("dioptra-worker:open-runs"))


@pytest.mark.parametrize("which", ["key", "intermediate_queue_key"])
def test_one_queue_holds_up_no_other(
    client: redis.Redis, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A queue that is no list gives no jobs; those of others run, and lost ones too."""
    registries = Registries(client, intermediate=0.0)
    odd, good = registries.queue(uuid4().hex), registries.queue("good")
    good.enqueue(FUNCTION, kwargs={"job_id": 1, "experiment_id": 1}, job_id="1")
    client.set(getattr(odd, which), "nonsense")
    client.rpush(good.intermediate_queue_key, str(JOB))
    rq = RqWorker(
        [odd.name, "good"], name=None, connection=client, result_ttl=9, silence=9.0
    )
    found = rq.dequeue()
    assert found is not None
    assert found.id == "1"
    if which == "key":
        assert _told(caplog, odd.key) == 1
    no_jobs: Any = SimpleNamespace(jobs_with_status=lambda _: [])
    recovery = Recovery(
        api=no_jobs,
        leases=Leases(client, worker="w", ttl=1.0),
        registries=registries,
        queues=[odd, good],
        lost_after=0.1,
        close_run=lambda *_: True,
        close_begun=lambda *_: True,
    )

    def sweep() -> list[str]:
        with contextlib.suppress(ServiceUnavailable):
            recovery.sweep()
        return list(good.job_ids)

    until(lambda: str(JOB) in sweep())


def test_all_keys_are_tried(client: redis.Redis) -> None:
    """There is no key of ours that these tests leave out."""
    leases = _leases(client)
    leases.begin(JOB, "token")
    leases.record_pending_status(PendingStatus(JOB, 3, "failed", "why"))
    leases.runs.record_known(RUN, "FAILED", job_id=JOB)
    leases.begin(JOB, RUN)
    assert leases.runs.begin_closing(RUN, JOB)
    leases.try_become_sweeper("runs", 60)
    Parking(client).park(JOB, TROUBLE)
    ElementLeases(client, "run").acquire("a", job=JOB, token="x")
    registries = Registries(client)
    queue = registries.queue("q")
    client.rpush(queue.intermediate_queue_key, str(JOB))
    registries.intermediate(queue)
    written: Any = client.keys("dioptra-worker:*")
    others = {f"dioptra-worker:lease:{JOB}", "dioptra-worker:turn:runs"}
    assert {key.decode() for key in written} == SHARED.keys() | others
