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
from dioptra_worker.broker.records import (
    LeaseHolder,
    PendingStatus,
    UnknownRun,
    dump_record,
    this_process,
)
from dioptra_worker.broker.runs_to_close import (
    CLOSING_TTL,
    UNKNOWN_RUNS,
    RunsToClose,
)
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
    assert [leases.begin(job, token).attempt for token in "abc"] == [1, 2, 3]
    leases.uncount_attempt(job, "c")
    assert 0 < client.ttl(f"dioptra-worker:attempts:{job}") <= ATTEMPTS_TTL
    assert leases.begin(job, "d").attempt == 3
    leases.forget_attempts(job)
    assert leases.begin(job, "e").attempt == 1


def test_said_again_after_a_lost_answer(client: redis.Redis, job: int) -> None:
    """A start is counted once, and taken back once, however often it is said."""
    leases = Leases(client, worker="a")
    assert [leases.begin(job, "first").attempt for _ in range(3)] == [1, 1, 1]
    assert leases.begin(job, "second").attempt == 2
    for _ in range(2):
        leases.uncount_attempt(job, "second")
    assert leases.begin(job, "third").attempt == 2
    leases.uncount_attempt(job, "second")  # late: another has begun since
    assert leases.begin(job, "fourth").attempt == 3


def test_begin_is_one_step(client: redis.Redis, job: int) -> None:
    """Who has not got the lease counts nothing, and hears who has."""
    ours, theirs = Leases(client, worker="me"), Leases(client, worker="another")
    assert theirs.begin(job, "a").attempt == 1
    holder = ours.begin(job, "b").holder
    assert holder is not None
    assert holder.worker == "another"
    assert theirs.begin(job, "c").attempt == 2
    assert "b" not in ours.runs.begun()


@pytest.mark.parametrize("what", ["end", "trouble"])
def test_what_is_noted_of_a_job(client: redis.Redis, job: int, what: str) -> None:
    """Who begins a job hears that something is noted of it; it goes with its end."""
    leases, parking = Leases(client, worker="a"), Parking(client)
    assert not leases.begin(job, "a").is_noted
    if what == "end":
        leases.record_pending_status(PendingStatus(job, 3, "failed", ""))
    else:
        parking.park(job, Trouble(why="", queue="q", worker="w"))
    assert leases.begin(job, "a").is_noted
    leases.release(job)
    assert leases.begin(job, "b").is_noted
    leases.release(job, is_over=True)
    begun = leases.begin(job, "c")
    assert (begun.attempt, begun.is_noted) == (1, False)
    assert leases.pending_status(job) is None
    assert parking.look(job) is None


def test_what_is_noted_of_a_job_that_another_has(client: redis.Redis, job: int) -> None:
    """Who has lost a job forgets nothing of it, but what run its own start had."""
    ours, theirs = Leases(client, worker="me"), Leases(client, worker="another")
    token = uuid4().hex
    ours.begin(job, token)
    ours.release(job)
    theirs.begin(job, uuid4().hex)
    theirs.record_pending_status(PendingStatus(job, 3, "failed", ""))
    ours.release(job, token, is_over=True)
    assert theirs.state(job) == "held"
    assert theirs.pending_status(job) is not None
    assert theirs.begin(job, uuid4().hex).attempt == 3
    assert token not in theirs.runs.begun()


def test_runs_forgotten_by_redis(client: redis.Redis, job: int) -> None:
    """A run that may be open is looked for again, and as was decided meanwhile."""
    ours, token, other = Leases(client, worker="me"), uuid4().hex, uuid4().hex
    ours.begin(job, token)
    client.hdel(UNKNOWN_RUNS, token)
    ours.release(job, token, is_settled=False)
    assert ours.runs.begun()[token] == UnknownRun(job, "KILLED")
    ours.runs.record_begun(token, UnknownRun(job, "FAILED"))
    ours.runs.remember_begun(token, UnknownRun(job, "KILLED"))
    ours.release(job, token, is_settled=False)
    ours.runs.remember_begun(other, UnknownRun(job, "FINISHED"))
    found = ours.runs.begun()
    assert (found[token].status, found[other].status) == ("FAILED", "FINISHED")
    ours.release(job, token)
    ours.release(job, other)
    assert not {token, other} & ours.runs.begun().keys()


def test_attempts_forgotten_by_redis(client: redis.Redis, job: int) -> None:
    """After Redis forgot them, giving back leaves no count below nought behind."""
    leases = Leases(client, worker="a")
    leases.begin(job, "a")
    client.delete(f"dioptra-worker:attempts:{job}")
    assert leases.begin(job, "a").attempt == 1
    client.delete(f"dioptra-worker:attempts:{job}")
    leases.uncount_attempt(job, "a")
    assert not client.exists(f"dioptra-worker:attempts:{job}")
    assert leases.begin(job, "b").attempt == 1


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


def test_parked_with_the_largest_number(client: redis.Redis) -> None:
    """Every number that a queue's entry may have can be parked."""
    parking, job = Parking(client), 2**63 - 1
    parked = parking.park(job, Trouble(why="", queue="q", worker="w"))
    assert parked.job_id == job
    assert parking.look(job) is not None
    parking.forget(job)


def _write_entry(client: redis.Redis, job: int, *, tries: float) -> None:
    """What was written of a job that has been parked for half a minute."""
    now, _ = client.time()
    entry = {"since": now - 30, "until_": now + 30, "tries": tries}
    client.hset("dioptra-worker:parked", str(job), json.dumps(entry))


def test_parked_part_of_a_time(client: redis.Redis, job: int) -> None:
    """An entry with a fraction of a try, which nobody of ours writes, holds up none."""
    parking = Parking(client)
    _write_entry(client, job, tries=1.5)
    assert parking.park(job, Trouble(why="", queue="q", worker="w")).left > 15
    parking.forget(job)


def test_parked_by_an_earlier_version(client: redis.Redis, job: int) -> None:
    """An entry that does not say why counts all the same."""
    parking = Parking(client)
    _write_entry(client, job, tries=2)
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


def test_which_attempt_has_ended(client: redis.Redis, job: int) -> None:
    """It is known after the end, where it was not the first, and no one else's."""
    leases = Leases(client, worker="a")
    assert leases.ended_attempt(job) is None
    leases.record_pending_status(PendingStatus(job, 3, "failed", "", attempt=1))
    assert leases.ended_attempt(job) is None
    leases.record_pending_status(PendingStatus(job, 3, "failed", "", attempt=2))
    leases.release(job, is_over=True)
    assert leases.ended_attempt(job) == 2
    assert 0 < client.ttl(f"dioptra-worker:attempts:{job}:ended") <= ATTEMPTS_TTL
    client.set(f"dioptra-worker:attempts:{job}:ended", "many")
    assert leases.ended_attempt(job) is None


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


def test_open_runs(client: redis.Redis, job: int) -> None:
    """A run that is to be closed is known to every worker until it is."""
    run = uuid4().hex
    ours, theirs = Leases(client, worker="a"), Leases(client, worker="b")
    assert ours.runs.record_known(run, "KILLED", job_id=job)
    assert theirs.runs.known()[run] == "KILLED"
    theirs.runs.forget_known(run)
    assert run not in ours.runs.known()


def test_runs_of_another(client: redis.Redis, job: int) -> None:
    """How the runs of a job are to be closed says who has its lease, nobody else."""
    token, run = uuid4().hex, uuid4().hex
    ours, theirs = Leases(client, worker="a"), Leases(client, worker="b")
    assert ours.acquire(job) is None
    assert ours.runs.record_begun(token, UnknownRun(job, "FAILED"))
    assert not theirs.runs.record_begun(token, UnknownRun(job, "KILLED"))
    assert not theirs.runs.record_known(run, "KILLED", job_id=job, token=token)
    assert ours.runs.begun()[token].status == "FAILED"
    assert run not in ours.runs.known()
    assert ours.runs.record_known(run, "FINISHED", job_id=job, token=token)
    assert ours.runs.begun()[token].status == ours.runs.known()[run] == "FINISHED"
    ours.runs.forget_known(run)
    ours.release(job, token)


def test_taken_over_while_it_is_closed(client: redis.Redis, job: int) -> None:
    """Who takes a job over decides about its runs once nobody closes one of them."""
    token, ours_begun = uuid4().hex, uuid4().hex
    ours, sweeper = Leases(client, worker="a"), Leases(client, worker="b")
    ours.begin(job, token)
    ours.begin(job, ours_begun)
    closing = sweeper.runs.begin_closing(token, job)
    assert closing is not None
    assert closing.run.status == "KILLED"
    assert not ours.runs.take_over(job, "FAILED", token=ours_begun)
    assert ours.runs.begin_closing(token, job) is None
    sweeper.runs.end_closing(closing, is_looked_for=True)
    assert ours.runs.take_over(job, "FAILED", token=ours_begun)
    decided = ours.runs.begun()
    assert decided[token] == UnknownRun(job, "FAILED", looks=1)
    assert decided[ours_begun] == UnknownRun(job)
    # Who was too slow to hear of it changes nothing any more.
    sweeper.runs.end_closing(closing, is_looked_for=True)
    assert ours.runs.begun()[token] == decided[token]
    client.hdel(UNKNOWN_RUNS, token, ours_begun)


def test_who_closes_a_run_is_lost(client: redis.Redis, job: int) -> None:
    """Who ends while it closes a run holds up nobody; if it is unseen, for a while."""
    token = uuid4().hex
    ours = Leases(client, worker="a")
    ours.begin(job, token)
    dead = replace(ours.me, worker="b", birth="long ago")
    assert RunsToClose(client, dump_record(dead)).begin_closing(token, job)
    assert ours.runs.take_over(job, "FAILED", token="")
    elsewhere = replace(dead, boot="another")
    assert RunsToClose(client, dump_record(elsewhere)).begin_closing(token, job)
    assert not ours.runs.take_over(job, "FAILED", token="")
    assert 0 < client.pttl(f"dioptra-worker:closing:{job}") <= CLOSING_TTL * 1000
    client.hdel(UNKNOWN_RUNS, token)
    client.delete(f"dioptra-worker:closing:{job}")


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
    "begin": lambda leases: leases.begin(1, "a"),
    "uncount": lambda leases: leases.uncount_attempt(1, "a"),
    "elsewhere": lambda leases: leases.is_held_elsewhere(1),
    "forget": lambda leases: leases.forget_attempts(1),
    "pend": lambda leases: leases.record_pending_status(
        PendingStatus(1, 1, "failed", "")
    ),
    "settle": lambda leases: leases.clear_pending_status(1),
    "pending": lambda leases: leases.pending_status(1),
    "leave run": lambda leases: leases.runs.record_known("r", "FAILED", job_id=1),
    "close run": lambda leases: leases.runs.forget_known("r"),
    "open runs": lambda leases: leases.runs.known(),
    "begun": lambda leases: leases.runs.begun(),
    "closing": lambda leases: leases.runs.begin_closing("a", 1),
    "take over": lambda leases: leases.runs.take_over(1, "FAILED", token="a"),
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
