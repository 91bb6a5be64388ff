"""What workers tell each other, in the real Valkey of the local stack."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.leases import ATTEMPTS_TTL, Leases
from dioptra_worker.broker.parking import Parking, Trouble
from dioptra_worker.broker.records import LeaseHolder, PendingStatus, this_process
from dioptra_worker.common.processes.process_identity import identify
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.settings import LEASE_TTL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from dioptra_worker.tools.local import LocalStack

ELSEWHERE = replace(
    this_process("other"), host="elsewhere.test", boot="another", pid=1, birth="birth"
)
_numbers = itertools.count(uuid4().int % 10**12 + 10**12)


@pytest.fixture(name="client")
def _client(stack: LocalStack) -> Iterator[redis.Redis]:
    with connect(stack.environment()["RQ_REDIS_URI"]) as client:
        yield client


@pytest.fixture(name="job")
def _job() -> int:
    """A job id that no other test has."""
    return next(_numbers)


def _hold(client: redis.Redis, job: int, holder: LeaseHolder) -> None:
    """Take a lease as another process does."""
    value = json.dumps(asdict(holder), sort_keys=True)
    client.set(f"dioptra-worker:lease:{job}", value, ex=int(LEASE_TTL))


def test_one_of_many(client: redis.Redis, job: int) -> None:
    """Of twenty workers that want a lease at once, one gets it; all others see who."""
    all_leases = [Leases(client, worker=f"w{number}") for number in range(20)]
    barrier = threading.Barrier(len(all_leases))

    def acquire(leases: Leases) -> LeaseHolder | None:
        barrier.wait(20)
        return leases.acquire(job)

    with ThreadPoolExecutor(len(all_leases)) as pool:
        holders = list(pool.map(acquire, all_leases))
    assert holders.count(None) == 1
    winner = all_leases[holders.index(None)]
    assert {holder for holder in holders if holder} == {winner.me}


def test_renewed(client: redis.Redis, job: int) -> None:
    """A lease is ours as long as we renew it, and runs out by itself."""
    leases = Leases(client, worker="a")
    assert leases.acquire(job) is None
    client.expire(f"dioptra-worker:lease:{job}", 5)
    assert leases.acquire(job) is None
    assert LEASE_TTL - 10 < client.ttl(f"dioptra-worker:lease:{job}") <= LEASE_TTL
    assert leases.state(job) == "held"


def test_released(client: redis.Redis, job: int) -> None:
    """Only the holder can give a lease back; then it is free for others."""
    ours, theirs = Leases(client, worker="a"), Leases(client, worker="b")
    assert ours.acquire(job) is None
    theirs.release(job)
    assert theirs.acquire(job) == ours.me
    ours.release(job)
    assert ours.state(job) == "free"
    assert theirs.acquire(job) is None


def test_held_elsewhere(client: redis.Redis, job: int) -> None:
    """A lease of this machine is told from one of another."""
    leases = Leases(client, worker="a")
    assert not leases.is_held_elsewhere(job)
    assert leases.acquire(job) is None
    assert not leases.is_held_elsewhere(job)
    _hold(client, job, ELSEWHERE)
    assert leases.is_held_elsewhere(job)


def test_what_a_later_version_wrote(client: redis.Redis, job: int) -> None:
    """A lease and an end that say more than we know are respected all the same."""
    leases = Leases(client, worker="a")
    other = ELSEWHERE
    lease = json.dumps({**asdict(other), "slot": 3})
    client.set(f"dioptra-worker:lease:{job}", lease, ex=int(LEASE_TTL))
    assert leases.acquire(job) == other
    assert leases.state(job) == "held"
    assert leases.is_held_elsewhere(job)
    end = PendingStatus(job_id=job, experiment_id=3, status="failed", reason="why")
    more = json.dumps({**asdict(end), "since": "yesterday"})
    client.hset("dioptra-worker:pending", str(job), more)
    assert leases.pending_status(job) == end
    leases.clear_pending_status(job)


def test_dead_holder_here(client: redis.Redis, job: int) -> None:
    """A holder of this machine that is dead is taken over from, by one of many."""
    process = identify(1)
    birth = "long ago" if process is None else f"not {process.start_time}"
    dead = replace(this_process("dead"), pid=1, birth=birth)
    _hold(client, job, dead)
    assert Leases(client, worker="x").state(job) == "dead"
    all_leases = [Leases(client, worker=f"w{number}") for number in range(20)]
    with ThreadPoolExecutor(len(all_leases)) as pool:
        holders = list(pool.map(lambda leases: leases.acquire(job), all_leases))
    assert holders.count(None) == 1
    assert all_leases[0].state(job) == "held"


@pytest.mark.parametrize(
    "where",
    [
        {"boot": "another", "host": "elsewhere.test"},
        {"boot": "another"},
        {"boot": ""},
        {"namespace": "pid:[1]"},
    ],
    ids=[
        "another machine",
        "a cloned machine",
        "of an earlier version",
        "another container of one name",
    ],
)
def test_holder_elsewhere(client: redis.Redis, job: int, where: dict[str, str]) -> None:
    """A holder that we cannot see is respected until its lease has run out."""
    other = replace(this_process("other"), pid=1, birth="birth", **where)
    _hold(client, job, other)
    leases = Leases(client, worker="a")
    assert leases.acquire(job) == other
    assert leases.state(job) == "held"
    assert leases.is_held_elsewhere(job)
    client.delete(f"dioptra-worker:lease:{job}")
    assert leases.acquire(job) is None


def test_attempts(client: redis.Redis, job: int) -> None:
    """Attempts are counted from one, and not for ever."""
    leases = Leases(client, worker="a")
    assert [leases.count_attempt(job, token) for token in "abc"] == [1, 2, 3]
    leases.uncount_attempt(job, "c")
    assert 0 < client.ttl(f"dioptra-worker:attempts:{job}") <= ATTEMPTS_TTL
    assert leases.count_attempt(job, "d") == 3
    leases.forget_attempts(job)
    assert leases.count_attempt(job, "e") == 1


def test_said_again_after_a_lost_answer(client: redis.Redis, job: int) -> None:
    """A start is counted once, and taken back once, however often it is said."""
    leases = Leases(client, worker="a")
    assert [leases.count_attempt(job, "first") for _ in range(3)] == [1, 1, 1]
    assert leases.count_attempt(job, "second") == 2
    for _ in range(2):
        leases.uncount_attempt(job, "second")
    assert leases.count_attempt(job, "third") == 2
    leases.uncount_attempt(job, "second")  # late: another has begun since
    assert leases.count_attempt(job, "fourth") == 3


def test_attempts_forgotten_by_redis(client: redis.Redis, job: int) -> None:
    """After Redis forgot them, giving back leaves no count below nought behind."""
    leases = Leases(client, worker="a")
    leases.count_attempt(job, "a")
    client.delete(f"dioptra-worker:attempts:{job}")
    assert leases.count_attempt(job, "a") == 1
    client.delete(f"dioptra-worker:attempts:{job}")
    leases.uncount_attempt(job, "a")
    assert not client.exists(f"dioptra-worker:attempts:{job}")
    assert leases.count_attempt(job, "b") == 1


def test_parked(client: redis.Redis, job: int) -> None:
    """A job waits longer each time, up to a limit, until it is forgotten."""
    parking = Parking(client)
    assert parking.look(job) is None
    trouble = Trouble(why="an answer of 500 ö", queue="q", worker="w", patience=3600)
    pauses = [round(parking.park(job, trouble).left) for _ in range(9)]
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    parked = parking.look(job)
    assert parked is not None
    assert 0 <= parked.age < 60
    assert 500 < parked.left <= 600
    assert (parked.tries, parked.queue, parked.worker) == (9, "q", "w")
    assert parked.why == "an answer of 500 ö"
    assert parked.given_up_in is not None
    assert round(parked.given_up_in + parked.age) == 3600
    assert [found.job_id for found in parking.all() if found.job_id == job] == [job]
    parking.forget(job)
    assert parking.look(job) is None
    assert not [found for found in parking.all() if found.job_id == job]


def test_parked_for_ever(client: redis.Redis, job: int) -> None:
    """A job without results is tried again for as long as it takes."""
    parking = Parking(client)
    parked = parking.park(job, Trouble(why="x" * 5000, queue="q", worker="w"))
    assert parked.given_up_in is None
    assert parked.why == "x" * 1000
    parking.forget(job)


def test_parked_by_an_earlier_version(client: redis.Redis, job: int) -> None:
    """An entry that does not say why counts all the same."""
    parking = Parking(client)
    now, _ = client.time()
    entry = {"since": now - 30, "until_": now + 30, "tries": 2}
    client.hset("dioptra-worker:parked", str(job), json.dumps(entry))
    parked = parking.look(job)
    assert parked is not None
    assert 30 <= parked.age < 60
    assert (parked.tries, parked.why) == (2, "")
    again = parking.park(job, Trouble(why="why", queue="q", worker="w"))
    assert 30 <= again.age < 60
    assert (round(again.left), again.tries) == (40, 3)
    parking.forget(job)


@pytest.mark.parametrize("entry", ["", "{", "[]", "7", '{"since": 1}', b"\xff"])
def test_parked_by_nobody(client: redis.Redis, job: int, entry: str | bytes) -> None:
    """What no worker wrote is no reason to wait."""
    parking = Parking(client)
    client.hset("dioptra-worker:parked", str(job), entry)
    assert parking.look(job) is None
    assert not [found for found in parking.all() if found.job_id == job]
    parked = parking.park(job, Trouble(why="why", queue="q", worker="w"))
    assert round(parked.left) == 10
    parking.forget(job)


def test_pending(client: redis.Redis, job: int) -> None:
    """A status that is under way is known to every worker until it is settled."""
    ours, theirs = Leases(client, worker="a"), Leases(client, worker="b")
    assert theirs.pending_status(job) is None
    pending = PendingStatus(job, 3, "failed", "it raised 'ö' and \udcff")
    ours.record_pending_status(pending)
    assert theirs.pending_status(job) == pending
    theirs.clear_pending_status(job)
    assert ours.pending_status(job) is None


def test_pending_of_who_has_lost_the_job(client: redis.Redis, job: int) -> None:
    """How a job ended is written by its owner only; others hear who that is."""
    ours, theirs = Leases(client, worker="me"), Leases(client, worker="another")
    assert theirs.acquire(job) is None
    end = PendingStatus(job, 3, "finished", "")
    holder = ours.record_pending_status(end)
    assert holder is not None
    assert holder.worker == "another"
    assert theirs.pending_status(job) is None
    assert theirs.record_pending_status(end) is None
    assert theirs.pending_status(job) == end
    theirs.clear_pending_status(job)


def test_open_runs(client: redis.Redis) -> None:
    """A run that is to be closed is known to every worker until it is."""
    run = uuid4().hex
    ours, theirs = Leases(client, worker="a"), Leases(client, worker="b")
    ours.record_open_run(run, "KILLED")
    assert theirs.open_runs()[run] == "KILLED"
    theirs.forget_open_run(run)
    assert run not in ours.open_runs()


def test_turns(client: redis.Redis) -> None:
    """Of twenty workers one has the turn, and another when the time is over."""
    what = uuid4().hex
    all_leases = [Leases(client, worker=f"w{number}") for number in range(20)]
    with ThreadPoolExecutor(len(all_leases)) as pool:
        turns = list(
            pool.map(lambda leases: leases.try_become_sweeper(what, 60), all_leases)
        )
    assert turns.count(True) == 1
    assert 0 < client.pttl(f"dioptra-worker:turn:{what}") <= 60_000
    client.delete(f"dioptra-worker:turn:{what}")
    assert all_leases[0].try_become_sweeper(what, 60)


CALLS: dict[str, Callable[[Leases], object]] = {
    "acquire": lambda leases: leases.acquire(1),
    "release": lambda leases: leases.release(1),
    "state": lambda leases: leases.state(1),
    "count": lambda leases: leases.count_attempt(1, "a"),
    "uncount": lambda leases: leases.uncount_attempt(1, "a"),
    "elsewhere": lambda leases: leases.is_held_elsewhere(1),
    "forget": lambda leases: leases.forget_attempts(1),
    "pend": lambda leases: leases.record_pending_status(
        PendingStatus(1, 1, "failed", "")
    ),
    "settle": lambda leases: leases.clear_pending_status(1),
    "pending": lambda leases: leases.pending_status(1),
    "leave run": lambda leases: leases.record_open_run("r", "FAILED"),
    "close run": lambda leases: leases.forget_open_run("r"),
    "open runs": lambda leases: leases.open_runs(),
    "turn": lambda leases: leases.try_become_sweeper("t", 1),
}


@pytest.mark.parametrize("name", CALLS)
def test_redis_away(name: str) -> None:
    """Every call says in one way that Redis is away."""
    with socket.socket() as bound:  # bound and not listening: refused
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with connect(f"redis://127.0.0.1:{port}") as client:
            leases = Leases(client, worker="a")
            with pytest.raises(ServiceUnavailable, match="Redis cannot be reached"):
                CALLS[name](leases)
