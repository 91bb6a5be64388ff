"""What becomes of a queue entry that cannot be handled, on the real Valkey."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from rq import Queue
from tests.unit.daemon.job.simulated_platform import PlanningApi
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, JOB

from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.leases import Leases
from dioptra_worker.broker.rq.entry import Entries
from dioptra_worker.broker.rq.payload import FUNCTION
from dioptra_worker.broker.rq.registries import Registries
from dioptra_worker.broker.rq.rq_worker import QueueEntry, RqWorker
from dioptra_worker.common.stop import JobStop, StopRequest, StopRequests
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.daemon.health.state import HealthState
from dioptra_worker.daemon.job.context import AttemptContext
from dioptra_worker.daemon.job.handler import Handler
from dioptra_worker.daemon.job.heartbeat import Heartbeat
from dioptra_worker.daemon.job.own_trouble import LONGEST_PAUSE, MAX_TRIES
from dioptra_worker.daemon.main_loop import MainLoop
from dioptra_worker.daemon.options import DaemonOptions
from dioptra_worker.daemon.staging.snapshot_cache import SnapshotCache
from dioptra_worker.errors import RunnerError, ServiceUnavailable, WorkerError
from dioptra_worker.settings import LEASE_TTL, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

    from dioptra_worker.broker.leases import Beginning
    from dioptra_worker.tools.local import LocalStack

LONG = 60.0


class Api(PlanningApi):
    """One job of an API that is found before a job is taken."""

    def reach(self) -> None:
        """Somebody listens there."""

    def check_platform(self) -> None:
        """It is new enough."""


class NoRunners:
    """A launcher that starts nothing, and tells when it should."""

    on_job: Callable[[], object] = staticmethod(lambda: None)
    job_user: None = None
    error: Exception = WorkerError("there are no runners")

    def start_runner(self) -> Any:
        """A runner."""
        self.on_job()
        raise self.error

    def close_run(self, *_: object, **__: object) -> bool:
        """An MLflow run is closed."""
        return True


class Telling(Leases):
    """Leases that tells when somebody asks for a lease."""

    on_begin: Callable[[], object] = staticmethod(lambda: None)

    def begin(self, job_id: int, token: str, stop: JobStop | None = None) -> Beginning:
        """Take the lease on a job."""
        self.on_begin()
        return super().begin(job_id, token, stop)


@dataclass
class Desk:
    """One worker's handler with a queue of its own, and one entry in that."""

    api: Api
    rq: RqWorker
    queue: Queue
    leases: Telling
    launcher: NoRunners
    heartbeat: Heartbeat
    handler: Handler
    stop: JobStop

    def handle(self) -> bool:
        """Take the entry and handle it."""
        taken = self.rq.dequeue()
        assert taken is not None
        return self.handler.handle(taken, self.stop)

    @property
    def aside(self) -> list[bytes]:
        """The entries that were taken and not begun."""
        found: list[bytes] = self.rq.connection.lrange(
            self.queue.intermediate_queue_key, 0, -1
        )
        return found


@pytest.fixture(name="client")
def _client(stack: LocalStack) -> Iterator[redis.Redis]:
    with connect(stack.environment()["RQ_REDIS_URI"]) as client:
        yield client
        client.delete(f"dioptra-worker:lease:{JOB}", f"dioptra-worker:attempts:{JOB}")
        client.hdel("dioptra-worker:pending", str(JOB))


@pytest.fixture(name="broken")
def _broken() -> list[Exception]:
    """What writing into the job's log raises, once there is something."""
    return []


@pytest.fixture(name="desk")
def _desk(
    client: redis.Redis, broken: list[Exception], tmp_path: Path
) -> Iterator[Desk]:
    class Breaking(Mask):
        """A mask that breaks when a test says so."""

        def __call__(self, text: str) -> str:
            """The text as it is."""
            if broken:
                raise broken[0]
            return text

    environment: dict[str, Any] = {
        "DIOPTRA_WORKER_USERNAME": "worker",
        "DIOPTRA_WORKER_PASSWORD": "secret",
        "DIOPTRA_API": Api.url,
        "RQ_REDIS_URI": "redis://localhost",
        "MLFLOW_TRACKING_URI": "http://localhost",
        "MLFLOW_S3_ENDPOINT_URL": "http://localhost",
        "DIOPTRA_WORKER_WORK_DIR": tmp_path,
    }
    queue = Queue(f"handled-{uuid4().hex[:8]}", connection=client)
    rq = RqWorker(
        [queue.name], name=None, connection=client, result_ttl=500, silence=20.0
    )
    rq.register()
    api = Api(status="queued")
    leases = Telling(client, worker=rq.name)
    launcher = NoRunners()
    shared: Any = {
        "api": api,
        "launcher": launcher,
        "leases": leases,
        "settings": Settings(**environment),
        "mask": Breaking([]),
        "cache": SnapshotCache(
            tmp_path / "cache", size=0, identity=lambda: "me", key=b"k"
        ),
    }
    heartbeat = Heartbeat(rq, leases, HealthState())
    handler = Handler(
        rq=rq,
        registries=Registries(client),
        context=AttemptContext(**shared),
        heartbeat=heartbeat,
        stops=StopRequests(),
    )
    kwargs = {"job_id": JOB, "experiment_id": EXPERIMENT}
    queue.enqueue(FUNCTION, kwargs=kwargs, job_id=str(JOB))
    yield Desk(api, rq, queue, leases, launcher, heartbeat, handler, JobStop())
    rq.unregister()
    queue.delete(delete_jobs=True)
    client.delete(queue.intermediate_queue_key)


def test_a_job_is_free_before_it_is_put_back(desk: Desk, client: redis.Redis) -> None:
    """Whoever takes a job that was put back finds its lease free, however quick."""
    away = ServiceUnavailable("it is away", service="REST API")
    desk.api.fault = lambda what: away if what == "PUT started" else None
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        assert not desk.handle()
        client.echo("all is said")
        seen = []
        for command in monitor.listen():
            if "all is said" in command["command"]:
                break
            seen.append(command["command"])
    push = f"LPUSH {desk.queue.key} "
    pushed = next(n for n, it in enumerate(seen) if it.startswith(push))
    lease = f"dioptra-worker:lease:{JOB}"
    freed = next(n for n, it in enumerate(seen) if it.upper() == f"DEL {lease}".upper())
    assert freed < pushed
    assert not any("SET" in it and lease in it for it in seen[freed:])
    assert client.get(f"dioptra-worker:attempts:{JOB}") is None


def test_a_job_that_breaks_the_worker_is_tried_again(
    desk: Desk, broken: list[Exception], client: redis.Redis
) -> None:
    """A job that a worker began and broke at is where recovery finds it, and free."""
    broken.append(ValueError("something that nobody has thought of"))
    with pytest.raises(ValueError, match="nobody has thought of"):
        desk.handle()
    assert desk.queue.started_job_registry.get_job_ids(cleanup=False) == []
    assert desk.aside == [str(JOB).encode()]
    assert desk.leases.state(JOB) == "free"
    assert client.hget(desk.rq.key, "state") == b"idle"
    broken.clear()
    assert Registries(client, intermediate=0.0).intermediate(desk.queue) == []
    assert Registries(client, intermediate=0.0).intermediate(desk.queue) == [str(JOB)]
    Registries(client).requeue(str(JOB), desk.queue)
    assert desk.handle()
    assert desk.api.status == "failed"


def test_a_job_that_cannot_be_prepared_here(desk: Desk, client: redis.Redis) -> None:
    """It is free, in its queue and uncounted each time, until it is tried enough."""
    desk.launcher.error = RunnerError("no fork server can be started")
    for tries in range(1, MAX_TRIES):
        assert desk.handle()
        assert desk.handler.trouble.pause == min(LONGEST_PAUSE, 2.0 ** (tries - 1))
        assert (desk.api.status, desk.queue.job_ids) == ("queued", [str(JOB)])
        assert desk.leases.state(JOB) == "free"
        assert not client.exists(f"dioptra-worker:attempts:{JOB}")
    assert desk.handle()
    assert (desk.api.status, desk.queue.job_ids) == ("failed", [])
    assert "no fork server can be started" in desk.api.messages()[-1]


def test_a_stop_that_comes_before_the_job_begins(desk: Desk) -> None:
    """A worker told to give its job back while it waits for Redis begins it not."""
    stop = StopRequest("shutdown", "the worker was shut down")
    desk.leases.on_begin = lambda: desk.stop.request(stop)
    assert desk.handle()
    assert desk.api.requests == []
    assert desk.queue.job_ids == [str(JOB)]
    assert desk.leases.state(JOB) == "free"


def test_a_job_that_was_taken_over_is_counted_by_who_has_it(
    desk: Desk, client: redis.Redis
) -> None:
    """Who has lost a job leaves the attempts of its new worker alone."""
    other = Leases(client, worker="other")

    def take_over() -> None:
        desk.leases.release(JOB)
        assert other.begin(JOB, "another start").attempt == 2
        desk.heartbeat.beat()

    desk.launcher.on_job = take_over
    assert desk.handle()
    # Claimed just before it was taken over, or not any more; nothing else was written.
    assert desk.api.status in {"queued", "started"}
    assert client.get(f"dioptra-worker:attempts:{JOB}") == b"2"
    holder = other.holder(JOB)
    assert holder is not None
    assert holder.worker == "other"


def test_a_lease_that_cannot_be_read_is_waited_for(
    desk: Desk, client: redis.Redis
) -> None:
    """A job that somebody may run lies where recovery finds it once that is over."""
    client.rpush(f"dioptra-worker:lease:{JOB}", "no lease")
    assert desk.handle()
    assert desk.api.requests == []
    assert desk.aside == [str(JOB).encode()]
    assert 0 < client.ttl(f"dioptra-worker:lease:{JOB}") <= LEASE_TTL
    client.delete(f"dioptra-worker:lease:{JOB}")
    client.rpush(f"dioptra-worker:attempts:{JOB}", "no number")
    Registries(client).requeue(str(JOB), desk.queue)
    assert desk.handle()
    assert desk.api.status == "failed"


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_a_job_that_is_over_is_so_in_rq(
    status: str, desk: Desk, client: redis.Redis
) -> None:
    """RQ's record and registries say of a job that is over what the API says."""
    entry = desk.rq.dequeue()
    assert entry is not None
    desk.rq.park(desk.rq.start_job(entry))
    entry = QueueEntry(Entries(client).fetch(str(JOB)), desk.queue)
    desk.rq.drop_duplicate(entry, status)
    assert Entries(client).fetch(str(JOB)).get_status() == status
    assert client.ttl(f"rq:job:{JOB}") > 0
    for registry in (desk.queue.finished_job_registry, desk.queue.failed_job_registry):
        is_its = registry.key.startswith(f"rq:{status}")
        assert registry.get_job_ids(cleanup=False) == ([str(JOB)] if is_its else [])
    assert desk.aside == []


def test_a_job_that_another_worker_has_is_left_to_it(desk: Desk) -> None:
    """A second delivery of a job whose lease another worker has is dropped."""
    other = Leases(desk.rq.connection, worker="other")
    assert other.acquire(JOB) is None
    assert desk.handle()
    assert desk.api.requests == []
    assert (desk.queue.job_ids, desk.aside) == ([], [])
    holder = other.holder(JOB)
    assert holder is not None
    assert holder.worker == "other"


@pytest.mark.parametrize("lives", [True, False])
def test_a_job_that_a_worker_without_leases_has(desk: Desk, *, lives: bool) -> None:
    """A job that the platform's own worker runs is left to it while that lives."""
    name = f"platform-{uuid4().hex[:8]}"
    other = RqWorker(
        [desk.queue.name],
        name=name,
        connection=desk.rq.connection,
        result_ttl=500,
        silence=20.0,
    )
    other.register()
    taken = other.dequeue()
    assert taken is not None
    other.start_job(taken)
    desk.queue.push_job_id(taken.id)
    if not lives:
        other.unregister()
    assert desk.handle()
    assert (desk.api.requests == []) == lives
    assert (desk.queue.job_ids, desk.aside) == ([], [])
    if lives:
        other.unregister()


def test_a_heartbeat_outlives_what_it_meets() -> None:
    """One heartbeat that breaks is no reason for the next not to come."""
    beaten: list[None] = []
    enough = threading.Event()

    class Breaking:
        replaced_by = None

        def send_heartbeat(self, active: object) -> None:
            assert active is None
            beaten.append(None)
            if len(beaten) == 1:
                raise KeyError("something that nobody has thought of")
            enough.set()

    rq: Any = Breaking()
    leases: Any = None
    with Heartbeat(rq, leases, HealthState(), interval=0.01):
        assert enough.wait(LONG)


def test_a_thread_that_ends_by_itself_stops_no_worker(desk: Desk) -> None:
    """The main loop goes on whatever ends the thread that handles a job."""

    class Leaving:
        job_id = JOB

        def handle(self, *_: object) -> bool:
            raise SystemExit

    class Silent:
        def watch(self) -> None:
            """Nobody rings."""

        def pause(self) -> None:
            """Nobody would have."""

    class NoIdleWork:
        def busy(self) -> None:
            """There is none to be left."""

        def idle(self) -> None:
            """Nor to be begun."""

    parts: Any = {
        "api": desk.api,
        "rq": desk.rq,
        "handler": Leaving(),
        "queue_watcher": Silent(),
        "stops": StopRequests(),
        "health": HealthState(),
        "preloading": NoIdleWork(),
    }
    loop = MainLoop(
        DaemonOptions(queues=(desk.queue.name,), max_jobs=1),
        **parts,
        shutdown_grace=0.0,
        kill_grace=0.0,
    )
    running = threading.Thread(target=loop.run, daemon=True)
    running.start()
    running.join(LONG)
    assert not running.is_alive()
