"""Jobs that nobody runs, in the real Valkey and the real REST API of the local stack.

Each test has a queue of its own, and looks at the outcome as RQ's own tools do.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from rq import Queue
from rq.executions import ExecutionRegistry
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.worker import Worker
from tests.plugins.testbed import Platform

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.leases import Leases
from dioptra_worker.broker.parking import Trouble
from dioptra_worker.broker.records import UnknownRun, dump_record, this_process
from dioptra_worker.broker.rq.payload import JobRequest, PlainSerializer, read_request
from dioptra_worker.broker.rq.registries import Registries
from dioptra_worker.broker.rq.rq_worker import RqWorker
from dioptra_worker.broker.runs_to_close import MAX_LOOKS, RunsToClose
from dioptra_worker.daemon.recovery.sweep import STARTED_FACTOR, Recovery
from dioptra_worker.settings import LEASE_TTL

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    import redis
    from tests.plugins.clients import ApiClient

    from dioptra_worker.tools.local import LocalStack

SOURCE = """
@pyplugs.register
def nothing():
    pass
"""
OLD = 0.2
"""Seconds after which these tests' jobs count as lost."""


class _SomeRuns(RunsToClose):
    """What workers tell each other, of some MLflow runs only."""

    def __init__(self, client: redis.Redis, me: bytes, own: Container[str]) -> None:
        super().__init__(client, me)
        self._own = own

    def known(self) -> dict[str, str]:
        """Those that are ours, by their ids."""
        found = super().known().items()
        return {run: status for run, status in found if run in self._own}

    def begun(self) -> dict[str, UnknownRun]:
        """Those that are ours, by their starts' tokens."""
        found = super().begun().items()
        return {token: run for token, run in found if token in self._own}


class _InTurn(Leases):
    """Leases whose turn it always is: workers of other tests take turns, too."""

    def try_become_sweeper(self, what: str, seconds: float) -> bool:
        """It is."""
        del what, seconds
        return True


def _leases_with(
    client: redis.Redis, own: Container[str], *, kind: type[Leases] = Leases
) -> Leases:
    leases = kind(client, worker="sweeper")
    leases.runs = _SomeRuns(client, dump_record(leases.me), own)
    return leases


class Place:
    """A queue with real jobs, and all that looks at it."""

    def __init__(self, stack: LocalStack, api: ApiClient, client: redis.Redis) -> None:
        self.client = client
        self.platform = Platform(api)
        self.entrypoint = self.platform.entrypoint(SOURCE, {"one": {"nothing": []}})
        self.queue = Queue(self.platform.queue, connection=client)
        self.registries = Registries(client)
        self.leases = Leases(client, worker="sweeper")
        environment = stack.environment()
        self.session = DioptraApi(
            url=environment["DIOPTRA_API"],
            username=environment["DIOPTRA_WORKER_USERNAME"],
            password=environment["DIOPTRA_WORKER_PASSWORD"],
        )
        self.session.login()

    def submit(self) -> str:
        """A queued job, as RQ names it."""
        return str(self.platform.submit(self.entrypoint))

    def set_status(self, name: str, status: str) -> None:
        """Set a job's status in the API."""
        self.session.set_status(self.platform.experiment, int(name), status)

    def recovery(self, lost_after: float = OLD) -> Recovery:
        """A sweeper of this queue."""
        return Recovery(
            api=self.session,
            leases=Leases(self.client, worker=f"w{uuid4().hex[:6]}"),
            registries=self.registries,
            queues=[self.queue],
            lost_after=lost_after,
            close_run=lambda *_: False,
            close_begun=lambda *_: False,
        )

    def closer(
        self,
        *own: str,
        close_run: Callable[[str, str], bool] = lambda *_: True,
        close_begun: Callable[[str, str], bool] = lambda *_: True,
    ) -> Recovery:
        """A sweeper of open MLflow runs, but for those of other tests."""
        return Recovery(
            api=self.session,
            leases=_leases_with(self.client, own, kind=_InTurn),
            registries=self.registries,
            queues=[],
            lost_after=3600,
            close_run=close_run,
            close_begun=close_begun,
        )

    def sweep(self, lost_after: float = OLD) -> None:
        """Sweep as if nobody else had just done it."""
        self.next_turn()
        self.recovery(lost_after).sweep()

    def next_turn(self) -> None:
        """Let the next sweeper have its turn."""
        turns = [f"dioptra-worker:turn:{kind}:{self.queue.name}" for kind in _KINDS]
        self.client.delete(*turns)

    @contextmanager
    def worker(self) -> Iterator[RqWorker]:
        """One of our workers in RQ's rq."""
        rq = RqWorker(
            [self.queue.name],
            name=None,
            connection=self.client,
            result_ttl=500,
            silence=20.0,
        )
        rq.register()
        yield rq
        self.client.delete(rq.key)

    def begin(self, rq: RqWorker) -> str:
        """Have a worker begin the next job."""
        taken = rq.dequeue()
        assert taken is not None
        rq.start_job(taken)
        return str(taken.id)

    @property
    def waiting(self) -> list[str]:
        """The jobs in the queue, as RQ sees them."""
        return list(self.queue.job_ids)

    @property
    def running(self) -> list[str]:
        """The jobs that run, as RQ sees them."""
        registry = StartedJobRegistry(queue=self.queue)
        return list(registry.get_job_ids(cleanup=False))

    def job(self, name: str) -> Job:
        """RQ's record of a job."""
        return Job.fetch(name, connection=self.client)

    def is_queued(self, name: str) -> bool:
        """Whether RQ's rq say that a job waits, once, and nothing else."""
        job = self.job(name)
        return (
            self.waiting == [name]
            and self.running == []
            and job.get_status() == "queued"
            and ExecutionRegistry(name, self.client).get_execution_ids() == []
            and self.client.llen(self.queue.intermediate_queue_key) == 0
        )

    def hold(self, name: str, *, dead: bool) -> None:
        """Have a process of this machine hold a job's lease."""
        holder = this_process("holder")
        if dead:
            holder = replace(holder, birth=f"not {holder.birth}")
        value = json.dumps(asdict(holder), sort_keys=True)
        self.client.set(f"dioptra-worker:lease:{name}", value, ex=int(LEASE_TTL))


_KINDS = ("rq", "api")


@pytest.fixture(name="place")
def _place(stack: LocalStack, api: ApiClient) -> Iterator[Place]:
    with connect(stack.environment()["RQ_REDIS_URI"]) as client:
        place = Place(stack, api, client)
        yield place
        place.session.close()


# -- RQ's books ----------------------------------------------------------------


def test_put_back_started(place: Place) -> None:
    """A job that was begun waits again, once, and nothing of its run is left."""
    name = place.submit()
    with place.worker() as rq:
        assert place.begin(rq) == name
        assert place.running == [name]
        place.registries.requeue(name, place.queue)
    assert place.is_queued(name)
    assert read_request(place.job(name), worker="w").job_id == int(name)


def test_put_back_taken(place: Place) -> None:
    """A job that was taken and not begun waits again, before all others."""
    first, second = place.submit(), place.submit()
    with place.worker() as rq:
        taken = rq.dequeue()
        assert taken is not None
        assert taken.id == first
        place.registries.requeue(first, place.queue)
        place.registries.requeue(first, place.queue)
    assert place.waiting == [first, second]


def test_waiting(place: Place) -> None:
    """A job is known wherever it is on its way, and no more when it has ended."""
    name = place.submit()
    assert place.registries.waiting(place.queue) == {name}
    with place.worker() as rq:
        taken = rq.dequeue()
        assert taken is not None
        assert place.registries.waiting(place.queue) == {name}
        rq.start_job(taken)
        assert place.registries.waiting(place.queue) == {name}
        assert place.registries.started(place.queue) == {name: True}
    assert place.registries.started(place.queue) == {name: False}
    place.client.delete(place.queue.started_job_registry.key)
    assert place.registries.waiting(place.queue) == set()


def test_odd_neighbours(place: Place) -> None:
    """What others wrote beside a lost job does not keep it from being found."""
    name = place.submit()
    with place.worker() as rq:
        taken = rq.dequeue()
        assert taken is not None
        rq.start_job(taken)
    odd = uuid4().int % 10**12 + 10**12
    place.client.zadd(
        place.queue.started_job_registry.key, {b"\xff\xfe": 1, f"{odd}:x".encode(): 1}
    )
    place.client.lpush(place.queue.intermediate_queue_key, b"\xff\xfe")
    place.client.hset(Job.key_for(f"{odd}"), "worker_name", b"\xff\xfe")
    place.client.set(f"dioptra-worker:lease:{odd}", "[" * 100_000, ex=60)
    place.client.hset("dioptra-worker:open-runs", b"\xff\xfe", b"KILLED")
    try:
        place.recovery().sweep()
        assert name in place.waiting
    finally:
        place.client.hdel("dioptra-worker:open-runs", b"\xff\xfe")
        place.client.delete(Job.key_for(f"{odd}"), f"dioptra-worker:lease:{odd}")
    assert name in place.registries.waiting(place.queue)


def test_in_between(place: Place) -> None:
    """A job that was taken and not begun counts as lost at the second look only."""
    name = place.submit()
    with place.worker() as rq:
        rq.dequeue()
    assert place.registries.intermediate(place.queue) == []
    assert place.registries.intermediate(place.queue) == []
    impatient = Registries(place.client, intermediate=0.0)
    assert impatient.intermediate(place.queue) == [name]
    assert impatient.intermediate(place.queue) == []


def test_enqueue(place: Place) -> None:
    """What we enqueue reads as what the REST API enqueues, and is the next one."""
    first, second = place.submit(), place.submit()
    original = place.job(second)
    place.client.delete(original.key)
    place.client.lrem(place.queue.key, 0, second)
    request = JobRequest(
        job_id=int(second),
        experiment_id=place.platform.experiment,
        time_limit=None,
        worker="",
    )
    place.registries.enqueue(request, place.queue, "10m")
    job = place.job(second)
    assert place.waiting == [second, first]
    assert (job.func_name, job.args, job.kwargs, job.timeout, job.origin) == (
        original.func_name,
        original.args,
        original.kwargs,
        original.timeout,
        original.origin,
    )
    plain = Job.fetch(second, connection=place.client, serializer=PlainSerializer)
    assert read_request(plain, worker="w").job_id == int(second)


@pytest.mark.parametrize("timeout", ["2 hours", "1w", "1.5h", "0", "", "x" * 5000])
def test_a_time_limit_that_rq_cannot_read(place: Place, timeout: str) -> None:
    """The API takes any text for one; the job is enqueued with RQ's usual one."""
    request = JobRequest(job_id=10**18, experiment_id=1, time_limit=None, worker="")
    place.registries.enqueue(request, place.queue, timeout)
    assert place.job(str(10**18)).timeout == 24 * 3600


# -- sweeps --------------------------------------------------------------------


def test_started_without_a_holder(place: Place) -> None:
    """A job whose worker is gone from RQ and holds no lease goes back."""
    name = place.submit()
    with place.worker() as rq:
        place.begin(rq)
    place.sweep(lost_after=3600)
    assert place.is_queued(name)


def test_started_by_a_dead_process(place: Place) -> None:
    """A job goes back at once when its holder is known to be dead."""
    name = place.submit()
    with place.worker() as rq:
        place.begin(rq)
        place.hold(name, dead=True)
        place.sweep(lost_after=3600)
        assert place.is_queued(name)


def test_started_and_held(place: Place) -> None:
    """A job with a live holder is left alone, also when RQ thinks its worker gone."""
    name = place.submit()
    with place.worker() as rq:
        place.begin(rq)
    place.set_status(name, "started")
    place.hold(name, dead=False)
    time.sleep(OLD * STARTED_FACTOR + 0.2)
    place.sweep()
    assert (place.waiting, place.running) == ([], [name])


def test_started_by_a_worker_without_leases(place: Place) -> None:
    """A job that the platform's own worker runs is left alone while that lives."""
    name = place.submit()
    place.set_status(name, "started")
    other = Worker([place.queue], connection=place.client)
    other.register_birth()
    job = place.job(name)
    place.client.lrem(place.queue.key, 0, name)
    execution = other.prepare_execution(job)
    with place.client.pipeline() as pipeline:
        job.prepare_for_execution(other.name, pipeline=pipeline)
        pipeline.execute()
    time.sleep(OLD * STARTED_FACTOR + 0.2)
    place.sweep()
    assert (place.waiting, place.running) == ([], [name])
    executions = ExecutionRegistry(name, place.client).get_execution_ids()
    assert executions == [execution.id]
    place.client.delete(other.key)
    place.sweep()
    assert place.is_queued(name)


def test_taken_and_never_begun(place: Place) -> None:
    """A job between queue and worker goes back at the second look, if nobody holds."""
    place.registries = Registries(place.client, intermediate=0.0)
    name = place.submit()
    with place.worker() as rq:
        rq.dequeue()
        place.sweep(lost_after=3600)
        assert place.waiting == []
        place.hold(name, dead=False)
        place.sweep(lost_after=3600)
        assert place.waiting == []
        place.client.delete(f"dioptra-worker:lease:{name}")
        place.sweep(lost_after=3600)
        place.sweep(lost_after=3600)
    assert place.is_queued(name)


def test_parked(place: Place) -> None:
    """A parked job goes back into its queue when its pause is over, not before."""
    place.registries = Registries(place.client, intermediate=0.0)
    parking = place.registries.parking
    name = place.submit()
    with place.worker() as rq:
        rq.dequeue()
        trouble = Trouble(why="an answer of 500", queue=place.queue.name, worker="w")
        parking.park(int(name), trouble)
        for _ in range(3):
            place.sweep(lost_after=3600)
        assert place.waiting == []
        entry = json.loads(place.client.hget("dioptra-worker:parked", name) or "")
        entry["until_"] -= 3600
        place.client.hset("dioptra-worker:parked", name, json.dumps(entry))
        place.sweep(lost_after=3600)
        place.sweep(lost_after=3600)
    assert place.is_queued(name)
    parking.forget(int(name))


def test_queued_and_lost(place: Place) -> None:
    """A queued job that Redis has lost is enqueued again once it is old enough."""
    name = place.submit()
    place.client.delete(place.queue.key, Job.key_for(name))
    place.sweep(lost_after=3600)
    assert place.waiting == []
    time.sleep(OLD)
    place.sweep()
    assert place.is_queued(name)
    place.sweep()
    assert place.is_queued(name)


def test_queued_and_waiting(place: Place) -> None:
    """A queued job that waits its turn is left alone however long it waits."""
    names = [place.submit() for _ in range(3)]
    time.sleep(OLD)
    place.sweep()
    assert place.waiting == names


def test_started_and_lost(place: Place) -> None:
    """A started job that nobody holds and RQ does not know is enqueued, but later."""
    name = place.submit()
    place.set_status(name, "started")
    place.client.delete(place.queue.key, Job.key_for(name))
    place.sweep(lost_after=3600)
    assert place.waiting == []
    time.sleep(OLD * STARTED_FACTOR)
    place.hold(name, dead=False)
    place.sweep()
    assert place.waiting == []
    place.client.delete(f"dioptra-worker:lease:{name}")
    place.sweep()
    assert place.is_queued(name)


def test_ended(place: Place) -> None:
    """A job that has ended is no lost one."""
    name = place.submit()
    place.set_status(name, "started")
    place.set_status(name, "finished")
    place.client.delete(place.queue.key, Job.key_for(name))
    time.sleep(OLD * STARTED_FACTOR)
    place.sweep()
    assert place.waiting == []


def test_two_sweepers(place: Place) -> None:
    """Of two sweepers at once, also on other queues besides, one enqueues once."""
    name = place.submit()
    place.client.delete(place.queue.key, Job.key_for(name))
    time.sleep(OLD)
    barrier = threading.Barrier(8)
    done: list[Recovery] = []

    def sweep(recovery: Recovery) -> None:
        barrier.wait(20)
        recovery.sweep()
        done.append(recovery)

    other = Queue(f"{place.queue.name}-other", connection=place.client)
    threads = []
    for number in range(8):
        recovery = Recovery(
            api=place.session,
            leases=Leases(place.client, worker=f"w{number}"),
            registries=Registries(place.client),
            queues=[place.queue, other] if number % 2 else [place.queue],
            lost_after=OLD,
            close_run=lambda *_: False,
            close_begun=lambda *_: False,
        )
        threads.append(threading.Thread(target=sweep, args=[recovery]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 8
    assert place.is_queued(name)


def test_open_runs(place: Place) -> None:
    """An MLflow run is closed by whoever sweeps, and remembered until that worked."""
    run, closed = uuid4().hex, []

    def close_run(run_id: str, status: str) -> bool:
        assert run_id == run
        closed.append(status)
        return len(closed) > 1

    recovery = place.closer(run, close_run=close_run)
    place.leases.runs.record_known(run, "KILLED", job_id=1)
    deadline = time.monotonic() + 60
    while run in place.leases.runs.known():
        assert time.monotonic() < deadline
        recovery.sweep()
    assert closed == ["KILLED", "KILLED"]


def _looked_for(place: Place, token: str, *, times: int) -> list[str]:
    """How a run of which nobody knows is closed in some sweeps."""
    closed = []

    def close_begun(found: str, status: str) -> bool:
        assert found == token
        closed.append(status)
        return True

    recovery = place.closer(token, close_begun=close_begun)
    for _ in range(times):
        recovery.sweep()
    return closed


def test_a_run_that_nobody_knows(place: Place) -> None:
    """What a start has perhaps begun is looked for once nobody has it any more."""
    job, token = int(place.submit()), uuid4().hex
    place.leases.begin(job, token)
    assert _looked_for(place, token, times=2) == []
    place.leases.release(job)
    assert _looked_for(place, token, times=2) == ["KILLED", "KILLED"]
    place.leases.runs.record_begun(token, UnknownRun(job, "FAILED"))
    place.leases.begin(job, uuid4().hex)  # another start is no reason to wait
    closed: list[str] = []
    while token in place.leases.runs.begun():  # others sweep here, too
        closed += _looked_for(place, token, times=1)
        assert len(closed) <= MAX_LOOKS
    assert set(closed) == {"FAILED"}


def test_a_run_that_is_known(place: Place) -> None:
    """Of a start whose run is settled when its job is let go, nothing is looked for."""
    job, token = int(place.submit()), uuid4().hex
    place.leases.begin(job, token)
    place.leases.release(job, token)
    assert _looked_for(place, token, times=1) == []
    assert token not in place.leases.runs.begun()


def test_unknown_runs_wait_for_mlflow(place: Place) -> None:
    """What was looked for in vain, as MLflow is away, is looked for as often later."""
    job, token = int(place.submit()), uuid4().hex
    place.leases.begin(job, token)
    place.leases.release(job)
    recovery = place.closer(token, close_begun=lambda *_: False)
    for _ in range(3):
        recovery.sweep()
    assert place.leases.runs.begun()[token].looks == 0
    place.client.hdel("dioptra-worker:unknown-runs", token)


def test_open_runs_hold_up_nobody(place: Place) -> None:
    """An MLflow that is away is asked once in a sweep, however many runs are open."""
    asked = []

    def close_run(run_id: str, _: str) -> bool:
        asked.append(run_id)
        return False

    runs = [uuid4().hex for _ in range(5)]
    recovery = place.closer(*runs, close_run=close_run)
    for run in runs:
        place.leases.runs.record_known(run, "KILLED", job_id=1)
    for _ in range(3):
        recovery.sweep()
    assert len(asked) == 3
    place.client.hdel("dioptra-worker:open-runs", *runs)
