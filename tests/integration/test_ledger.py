"""What workers tell each other, in the real Valkey of the local stack."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.leases import (
    ATTEMPTS_TTL,
    Holder,
    Ledger,
    Pending,
    namespace,
)
from dioptra_worker.broker.rq_worker import TTL
from dioptra_worker.common.process_identity import mark
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from dioptra_worker.tools.local import LocalStack

_numbers = itertools.count(uuid4().int % 10**12 + 10**12)


@pytest.fixture(name="client")
def _client(stack: LocalStack) -> Iterator[redis.Redis]:
    with connect(stack.environment()["RQ_REDIS_URI"]) as client:
        yield client


@pytest.fixture(name="job")
def _job() -> int:
    """A job id that no other test has."""
    return next(_numbers)


def _hold(client: redis.Redis, job: int, holder: Holder) -> None:
    """Take a lease as another process does."""
    value = json.dumps(asdict(holder), sort_keys=True)
    client.set(f"dioptra-worker:lease:{job}", value, ex=TTL)


def test_one_of_many(client: redis.Redis, job: int) -> None:
    """Of twenty workers that want a lease at once, one gets it; all others see who."""
    ledgers = [Ledger(client, worker=f"w{number}") for number in range(20)]
    barrier = threading.Barrier(len(ledgers))

    def acquire(ledger: Ledger) -> Holder | None:
        barrier.wait(20)
        return ledger.acquire(job)

    with ThreadPoolExecutor(len(ledgers)) as pool:
        holders = list(pool.map(acquire, ledgers))
    assert holders.count(None) == 1
    winner = ledgers[holders.index(None)]
    assert {holder for holder in holders if holder} == {winner.me}


def test_renewed(client: redis.Redis, job: int) -> None:
    """A lease is ours as long as we renew it, and runs out by itself."""
    ledger = Ledger(client, worker="a")
    assert ledger.acquire(job) is None
    client.expire(f"dioptra-worker:lease:{job}", 5)
    assert ledger.acquire(job) is None
    assert TTL - 10 < client.ttl(f"dioptra-worker:lease:{job}") <= TTL
    assert ledger.state(job) == "held"


def test_released(client: redis.Redis, job: int) -> None:
    """Only the holder can give a lease back; then it is free for others."""
    ours, theirs = Ledger(client, worker="a"), Ledger(client, worker="b")
    assert ours.acquire(job) is None
    theirs.release(job)
    assert theirs.acquire(job) == ours.me
    ours.release(job)
    assert ours.state(job) == "free"
    assert theirs.acquire(job) is None


def test_held_elsewhere(client: redis.Redis, job: int) -> None:
    """A lease of this machine is told from one of another."""
    ledger = Ledger(client, worker="a")
    assert not ledger.is_held_elsewhere(job)
    assert ledger.acquire(job) is None
    assert not ledger.is_held_elsewhere(job)
    _hold(client, job, Holder("other", "elsewhere.test", 1, "birth", namespace()))
    assert ledger.is_held_elsewhere(job)


def test_what_a_later_version_wrote(client: redis.Redis, job: int) -> None:
    """A lease and an end that say more than we know are respected all the same."""
    ledger = Ledger(client, worker="a")
    other = Holder("other", "elsewhere.test", 1, "birth", namespace())
    lease = json.dumps({**asdict(other), "slot": 3})
    client.set(f"dioptra-worker:lease:{job}", lease, ex=TTL)
    assert ledger.acquire(job) == other
    assert ledger.state(job) == "held"
    assert ledger.is_held_elsewhere(job)
    end = Pending(job_id=job, experiment_id=3, status="failed", reason="why")
    more = json.dumps({**asdict(end), "since": "yesterday"})
    client.hset("dioptra-worker:pending", str(job), more)
    assert ledger.pending(job) == end
    ledger.settle(job)


def test_dead_holder_here(client: redis.Redis, job: int) -> None:
    """A holder of this machine that is dead is taken over from, by one of many."""
    process = mark(1)
    birth = "long ago" if process is None else f"not {process.birth}"
    dead = Holder("dead", socket.gethostname(), 1, birth, namespace())
    _hold(client, job, dead)
    assert Ledger(client, worker="x").state(job) == "dead"
    ledgers = [Ledger(client, worker=f"w{number}") for number in range(20)]
    with ThreadPoolExecutor(len(ledgers)) as pool:
        holders = list(pool.map(lambda ledger: ledger.acquire(job), ledgers))
    assert holders.count(None) == 1
    assert ledgers[0].state(job) == "held"


@pytest.mark.parametrize(
    "place",
    [("elsewhere.test", namespace()), (socket.gethostname(), "pid:[1]")],
    ids=["another machine", "another container of one name"],
)
def test_holder_elsewhere(
    client: redis.Redis, job: int, place: tuple[str, str]
) -> None:
    """A holder that we cannot see is respected until its lease has run out."""
    other = Holder("other", place[0], 1, "birth", place[1])
    _hold(client, job, other)
    ledger = Ledger(client, worker="a")
    assert ledger.acquire(job) == other
    assert ledger.state(job) == "held"
    client.delete(f"dioptra-worker:lease:{job}")
    assert ledger.acquire(job) is None


def test_attempts(client: redis.Redis, job: int) -> None:
    """Attempts are counted from one, and not for ever."""
    ledger = Ledger(client, worker="a")
    assert [ledger.count_attempt(job) for _ in range(3)] == [1, 2, 3]
    ledger.uncount_attempt(job)
    assert 0 < client.ttl(f"dioptra-worker:attempts:{job}") <= ATTEMPTS_TTL
    assert ledger.count_attempt(job) == 3
    ledger.forget_attempts(job)
    assert ledger.count_attempt(job) == 1


def test_attempts_forgotten_by_redis(client: redis.Redis, job: int) -> None:
    """After Redis forgot them, giving back leaves no count below nought behind."""
    ledger = Ledger(client, worker="a")
    ledger.uncount_attempt(job)
    assert not client.exists(f"dioptra-worker:attempts:{job}")
    assert ledger.count_attempt(job) == 1


def test_pending(client: redis.Redis, job: int) -> None:
    """A status that is under way is known to every worker until it is settled."""
    ours, theirs = Ledger(client, worker="a"), Ledger(client, worker="b")
    assert theirs.pending(job) is None
    pending = Pending(job, 3, "failed", "it raised 'ö' and \udcff")
    ours.pend(pending)
    assert theirs.pending(job) == pending
    theirs.settle(job)
    assert ours.pending(job) is None


def test_open_runs(client: redis.Redis) -> None:
    """A run that is to be closed is known to every worker until it is."""
    run = uuid4().hex
    ours, theirs = Ledger(client, worker="a"), Ledger(client, worker="b")
    ours.leave_run(run, "KILLED")
    assert theirs.open_runs()[run] == "KILLED"
    theirs.close_run(run)
    assert run not in ours.open_runs()


def test_turns(client: redis.Redis) -> None:
    """Of twenty workers one has the turn, and another when the time is over."""
    what = uuid4().hex
    ledgers = [Ledger(client, worker=f"w{number}") for number in range(20)]
    with ThreadPoolExecutor(len(ledgers)) as pool:
        turns = list(pool.map(lambda ledger: ledger.turn(what, 60), ledgers))
    assert turns.count(True) == 1
    assert 0 < client.pttl(f"dioptra-worker:turn:{what}") <= 60_000
    client.delete(f"dioptra-worker:turn:{what}")
    assert ledgers[0].turn(what, 60)


CALLS: dict[str, Callable[[Ledger], object]] = {
    "acquire": lambda ledger: ledger.acquire(1),
    "release": lambda ledger: ledger.release(1),
    "state": lambda ledger: ledger.state(1),
    "count": lambda ledger: ledger.count_attempt(1),
    "uncount": lambda ledger: ledger.uncount_attempt(1),
    "elsewhere": lambda ledger: ledger.is_held_elsewhere(1),
    "forget": lambda ledger: ledger.forget_attempts(1),
    "pend": lambda ledger: ledger.pend(Pending(1, 1, "failed", "")),
    "settle": lambda ledger: ledger.settle(1),
    "pending": lambda ledger: ledger.pending(1),
    "leave run": lambda ledger: ledger.leave_run("r", "FAILED"),
    "close run": lambda ledger: ledger.close_run("r"),
    "open runs": lambda ledger: ledger.open_runs(),
    "turn": lambda ledger: ledger.turn("t", 1),
}


@pytest.mark.parametrize("name", CALLS)
def test_redis_away(name: str) -> None:
    """Every call says in one way that Redis is away."""
    with socket.socket() as bound:  # bound and not listening: refused
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with connect(f"redis://127.0.0.1:{port}") as client:
            ledger = Ledger(client, worker="a")
            with pytest.raises(ServiceUnavailable, match="Redis cannot be reached"):
                CALLS[name](ledger)
