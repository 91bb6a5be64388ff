"""Claims on elements, in the real Valkey of the local stack."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from tests.plugins.tcp_proxy import tcp_proxy
from tests.plugins.until import until

from dioptra_worker.broker.batch_leases import ElementLeases
from dioptra_worker.broker.connection import connect
from dioptra_worker.common.network.outage_log import OutageLog
from dioptra_worker.daemon.job.running.batch_claims import BatchClaims
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.protocol.messages import BatchClaimReply, BatchClaimRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from dioptra_worker.tools.local import LocalStack

SOON = 0.3
"""A lease, in seconds, for a test that waits for its end."""


@pytest.fixture(name="client")
def _client(stack: LocalStack) -> Iterator[redis.Redis]:
    with connect(stack.environment()["RQ_REDIS_URI"]) as client:
        yield client


@pytest.fixture(name="batch")
def _batch(client: redis.Redis) -> ElementLeases:
    """The record of a worker run that no other test has."""
    return ElementLeases(client, str(uuid4()))


def _states(batch: ElementLeases) -> dict[str, str]:
    return {entry.element: entry.state for entry in batch.records()}


def test_one_at_a_time(batch: ElementLeases) -> None:
    """What one job has claimed another does not get, nor when it is processed."""
    assert batch.acquire("a", job=1, token="x") == "granted"
    assert batch.acquire("a", job=2, token="y") == "held"
    assert batch.set_state("a", "processed", token="x") == "settled"
    assert batch.acquire("a", job=2, token="y") == "processed"
    assert batch.acquire("a", job=1, token="x") == "processed"


def test_what_failed_or_was_let_go_is_free(batch: ElementLeases) -> None:
    """A failed element is tried again, and one that was let go is as if untouched."""
    assert batch.acquire("a", job=1, token="x") == "granted"
    assert batch.set_state("a", "error", token="x", error="no luck") == "settled"
    (entry,) = batch.records()
    assert (entry.state, entry.error, entry.attempts) == ("error", "no luck", 1)
    assert batch.acquire("a", job=2, token="y") == "granted"
    assert batch.set_state("a", "queued", token="y") == "settled"
    assert batch.acquire("a", job=3, token="z") == "granted"


def test_a_lost_answer_is_no_second_claim(batch: ElementLeases) -> None:
    """Asking again with the same token gives the same answer."""
    assert batch.acquire("a", job=1, token="x") == "granted"
    assert batch.acquire("a", job=1, token="x") == "granted"
    assert batch.set_state("a", "processed", token="x") == "settled"
    assert batch.set_state("a", "processed", token="x") == "settled"
    (entry,) = batch.records()
    assert entry.attempts == 1


def test_a_zombie_settles_nothing(batch: ElementLeases) -> None:
    """A worker that was taken for lost cannot end what another has begun."""
    assert batch.acquire("a", job=1, token="x", lease=SOON) == "granted"
    time.sleep(2 * SOON)
    assert batch.acquire("a", job=2, token="y", last=True) == "granted"
    assert batch.set_state("a", "processed", token="x") == "lost"
    assert _states(batch) == {"a": "started"}
    assert batch.set_state("a", "processed", token="y") == "settled"


def test_a_lost_worker_frees_its_element_last(batch: ElementLeases) -> None:
    """When a lease has run out, the element is postponed, then had by who asks."""
    assert batch.acquire("a", job=1, token="x", lease=SOON) == "granted"
    time.sleep(2 * SOON)
    assert batch.acquire("a", job=2, token="y") == "postponed"
    (entry,) = batch.records()
    assert (entry.state, entry.crashes) == ("error", 1)
    assert batch.acquire("a", job=2, token="y", last=True) == "granted"


def test_the_same_job_again_takes_over_at_once(batch: ElementLeases) -> None:
    """A job that was given back need not wait for its own old claims."""
    assert batch.acquire("a", job=1, token="x") == "granted"
    assert batch.acquire("a", job=1, token="y") == "postponed"
    assert batch.acquire("a", job=1, token="y", last=True) == "granted"
    assert batch.set_state("a", "processed", token="x") == "lost"


def test_renewed_is_held(batch: ElementLeases) -> None:
    """A claim that is renewed does not run out."""
    batch.acquire("a", job=1, token="x", lease=SOON)
    for _ in range(4):
        time.sleep(SOON / 2)
        batch.renew(["a", "b"], token="x", lease=60)
    assert batch.acquire("a", job=2, token="y", last=True) == "held"
    assert "b" not in _states(batch)


def test_reset_forgets(batch: ElementLeases) -> None:
    """Elements in the given states are forgotten, and no others."""
    for element, state in (("a", "processed"), ("b", "error"), ("c", "error")):
        batch.acquire(element, job=1, token="x")
        batch.set_state(element, state, token="x")  # type: ignore[arg-type]
    assert batch.reset({"error"}) == 2
    assert _states(batch) == {"a": "processed"}
    assert batch.reset({"error"}) == 0


def test_many_share_a_batch(stack: LocalStack) -> None:
    """Eight jobs over the same shuffled elements do each exactly once."""
    run = str(uuid4())
    done: Counter[str] = Counter()

    def job(number: int) -> None:
        elements = [f"e{index}" for index in range(200)]
        random.Random(number).shuffle(elements)  # noqa: S311 - no secret
        with connect(stack.environment()["RQ_REDIS_URI"]) as client:
            batch = ElementLeases(client, run)
            for element in elements:
                if batch.acquire(element, job=number, token=str(number)) == "granted":
                    done[element] += 1
                    batch.set_state(element, "processed", token=str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(job, range(8)))
    assert len(done) == 200
    assert set(done.values()) == {1}


def test_redis_away_is_said() -> None:
    """A Redis that cannot be reached is the error that callers wait for."""
    with connect("redis://127.0.0.1:1") as client:
        batch = ElementLeases(client, "x")
        with pytest.raises(ServiceUnavailable):
            batch.acquire("a", job=1, token="x")


def test_the_desk_answers_and_lets_go(batch: ElementLeases) -> None:
    """What a job held when it ended is free, and says how that job ended."""
    answers: queue.SimpleQueue[BatchClaimReply] = queue.SimpleQueue()
    said: list[str] = []
    desk = BatchClaims(
        batch,
        job=1,
        token="x",
        answer=answers.put,
        outages=OutageLog(lambda severity, text: said.append(severity + text)),
        renew_interval=SOON,
    )
    for number, element in enumerate("ab", start=1):
        desk.ask(BatchClaimRequest(request_id=number, element=element, state="started"))
        answer = answers.get(timeout=30)
        assert answer == BatchClaimReply(request_id=number, outcome="granted")
    desk.ask(BatchClaimRequest(request_id=3, element="a", state="processed"))
    assert answers.get(timeout=30).outcome == "settled"
    desk.close("killed by SIGKILL")
    entries = {entry.element: entry for entry in batch.records()}
    assert entries["a"].state == "processed"
    assert (entries["b"].state, entries["b"].error) == ("error", "killed by SIGKILL")
    assert entries["b"].crashes == 1
    assert said == []
    assert not any(t.name == "dioptra-claims" for t in threading.enumerate())


def test_a_question_waits_for_redis(stack: LocalStack) -> None:
    """While Redis is away a question waits; that is said once, and its end once."""
    answers: queue.SimpleQueue[BatchClaimReply] = queue.SimpleQueue()
    said: list[str] = []
    uri = urlsplit(stack.environment()["RQ_REDIS_URI"])
    with tcp_proxy(stack.service("valkey").port) as proxy:
        place = f"{uri.netloc.rpartition(':')[0]}:{proxy.port}"
        with connect(uri._replace(netloc=place).geturl()) as client:
            desk = BatchClaims(
                ElementLeases(client, uuid4().hex),
                job=1,
                token="x",
                answer=answers.put,
                outages=OutageLog(lambda _, text: said.append(text)),
            )
            proxy.refuse()
            desk.ask(BatchClaimRequest(request_id=1, element="a", state="started"))
            until(lambda: len(said) == 1)
            assert answers.empty()
            proxy.pass_on()
            assert answers.get(timeout=60).outcome == "granted"
            desk.close("finished")
    assert len(said) == 2
    assert said[0].startswith("waiting: ")
    assert "is back after" in said[1]
