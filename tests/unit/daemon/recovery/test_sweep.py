"""What a sweep asks of the REST API, and how long it waits before a job is nobody's."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker.api.client import JOBS_PER_PAGE
from dioptra_worker.daemon.recovery.sweep import Recovery
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONG_AGO = "2020-01-01T00:00:00+00:00"


class Api:
    """The REST API's list of jobs.

    Attributes:
        listed: How many jobs it has listed.
        time: What its clock says.
        broken: The jobs of which it cannot show one.
        is_away: Whether it is away when it is asked how it is.
        changed: When a job changed, if not long ago.
    """

    def __init__(self, queued: int = 0, started: int = 0) -> None:
        self._jobs = {"queued": queued, "started": started}
        self.listed = 0
        self.time = datetime.now(UTC)
        self.broken: set[int] = set()
        self.changed: dict[int, Any] = {}
        self.is_away = False

    def jobs_with_status(
        self, status: str, *, index: int = 0
    ) -> tuple[list[dict[str, Any]], int]:
        """Some of the jobs with a status."""
        total = self._jobs[status]
        ids = range(index + 1, min(index + JOBS_PER_PAGE, total) + 1)
        self.listed += len(ids)
        return [
            {
                "id": job_id,
                "queue": {"name": "q"},
                "experiment": {"id": 1},
                "timeout": "1h",
                "lastModifiedOn": self.changed.get(job_id, LONG_AGO),
            }
            for job_id in ids
        ], total

    def now(self) -> datetime:
        """The time."""
        return self.time

    def ping(self) -> None:
        """See whether it answers."""
        if self.is_away:
            raise ServiceUnavailable("away", service="API")

    def job(self, job_id: int) -> Any:
        """One job."""
        if job_id in self.broken:
            raise ServiceUnavailable("500", service="API")
        queued = job_id <= self._jobs["queued"]
        return SimpleNamespace(status="queued" if queued else "started")


class Registries:
    """RQ's books of one queue.

    Attributes:
        known: The jobs that wait.
        running: Those that run, and whether their worker seems alive.
        enqueued: What was enqueued, in order.
        requeued: What was put back, in order.
        broken: What fails of a queue, by its name, or at a job, by its id.
        taken: The names of what was taken and not begun.
    """

    parking = SimpleNamespace(look=lambda _: None)

    def __init__(self, known: set[str], running: dict[str, bool] | None = None) -> None:
        self.broken: dict[object, Exception] = {}
        self.taken: list[str] = []
        self.known = known
        self.running = running or {}
        self.enqueued: list[int] = []
        self.requeued: list[str] = []

    def waiting(self, queue: Any) -> set[str]:
        """The jobs that wait."""
        if queue.name in self.broken:
            raise self.broken[queue.name]
        return self.known

    def started(self, _queue: object) -> dict[str, bool]:
        """The jobs that run."""
        return self.running

    def intermediate(self, _queue: object) -> list[str]:
        """What was taken and not begun."""
        return self.taken

    def enqueue(self, request: Any, _queue: object, _timeout: str) -> None:
        """Enqueue a job."""
        if request.job_id in self.broken:
            raise self.broken[request.job_id]
        self.enqueued.append(request.job_id)
        self.known.add(str(request.job_id))

    def requeue(self, name: str, _queue: object) -> None:
        """Put a job back."""
        self.requeued.append(name)


class Leases:
    """Who holds which job, which may change as somebody looks.

    Attributes:
        held: The jobs that are held.
        on_look: Called at each look.
    """

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.on_look: Callable[[], object] = lambda: None

    def try_become_sweeper(self, what: str, _seconds: float) -> bool:
        """It is always our turn, but for MLflow's runs."""
        return what != "runs"

    def state(self, job_id: int) -> str:
        """Whether somebody holds a job."""
        state = "held" if job_id in self.held else "free"
        self.on_look()
        return state


def _recovery(
    api: Any,
    registries: Any,
    leases: Any = None,
    *,
    heartbeat: float = 0.0,
    names: Sequence[str] = ("q",),
    **more: Any,
) -> Recovery:
    queues: list[Any] = [SimpleNamespace(name=name) for name in names]
    nobody: Any = Leases()
    return Recovery(
        api=api,
        leases=leases or nobody,
        registries=registries,
        queues=queues,
        lost_after=60.0,
        heartbeat=heartbeat,
        **{"close_run": lambda *_: True, "close_begun": lambda *_: True, **more},
    )


def test_many_that_wait_are_not_all_listed() -> None:
    """However many jobs wait, the API lists two pages of them."""
    api, registries = Api(queued=10_000), Registries({str(n) for n in range(1, 10_001)})
    _recovery(api, registries).sweep()
    assert api.listed <= 2 * JOBS_PER_PAGE
    assert registries.enqueued == []


def test_the_oldest_are_looked_at_each_time() -> None:
    """A job that is lost among many is found once those before it have been run."""
    known = {str(n) for n in range(2, 10_001)}
    registries = Registries(known)
    _recovery(Api(queued=10_000), registries).sweep()
    assert registries.enqueued == [1]


def test_others_are_looked_at_some_time() -> None:
    """One that others wait before, such as those of a queue without a worker, too."""
    registries = Registries({str(n) for n in range(1, 2_001)} - {"1500"})
    recovery = _recovery(Api(queued=2_000), registries)
    for _ in range(2_000 // JOBS_PER_PAGE):
        recovery.sweep()
    assert registries.enqueued == [1500]


def test_all_that_redis_has_forgotten_is_found() -> None:
    """Where each page has lost jobs, the next is looked at, too."""
    registries = Registries(set())
    _recovery(Api(queued=3 * JOBS_PER_PAGE + 5), registries).sweep()
    assert registries.enqueued == list(range(1, 3 * JOBS_PER_PAGE + 6))


@pytest.mark.parametrize("lives", [True, False])
@pytest.mark.parametrize("where", ["RQ's books", "the API"])
def test_a_lease_that_is_gone(where: str, lives: bool) -> None:
    """A worker that lives has a heartbeat's time to renew what Redis has forgotten."""
    leases = Leases()
    if lives:  # its heartbeat comes while we wait
        leases.on_look = lambda: leases.held.add(1)
    in_rq = where == "RQ's books"
    registries = Registries(set(), {"1": False} if in_rq else {})
    api = Api(started=0 if in_rq else 1)
    recovery = _recovery(api, registries, leases, heartbeat=0.05)
    if lives and not in_rq:
        timer = threading.Timer(0.01, lambda: leases.held.add(1))
        timer.start()
    recovery.sweep()
    requeued = [*registries.requeued, *map(str, registries.enqueued)]
    assert requeued == ([] if lives else ["1"])


def test_the_end_is_not_waited_for() -> None:
    """A worker that ends while it waits for a heartbeat decides nothing."""
    registries = Registries(set(), {"1": False})
    recovery = _recovery(Api(started=1), registries, heartbeat=600.0)
    recovery.end()
    recovery.sweep()
    assert registries.requeued == []
    assert registries.enqueued == []


@pytest.mark.parametrize(("age", "is_found"), [(-3600, False), (30, False), (90, True)])
def test_an_age_is_told_by_the_clock_of_the_api(age: float, *, is_found: bool) -> None:
    """How long a job has been what it is, the API's clock says, not ours."""
    api, registries = Api(queued=1), Registries(set())
    api.time = datetime.fromisoformat(LONG_AGO) + timedelta(seconds=age)
    _recovery(api, registries).sweep()
    assert registries.enqueued == ([1] if is_found else [])


def test_a_job_that_cannot_be_enqueued_holds_up_no_other() -> None:
    """Whatever is wrong with one lost job, all others of both kinds are found."""
    registries = Registries(set())
    registries.broken = {1: ValueError("odd"), 3: ServiceUnavailable("", service="R")}
    with pytest.raises(ServiceUnavailable):
        _recovery(Api(queued=3, started=5), registries).sweep()
    assert registries.enqueued == [2, 4, 5]


@pytest.mark.parametrize("is_away", [False, True])
def test_a_job_at_which_the_api_fails_alone(*, is_away: bool) -> None:
    """The others are found all the same; an API that is away is not asked for each."""
    api, registries = Api(queued=3), Registries(set())
    api.broken, api.is_away = {1}, is_away
    with pytest.raises(ServiceUnavailable):
        _recovery(api, registries).sweep()
    assert registries.enqueued == ([] if is_away else [2, 3])


def test_a_queue_that_cannot_be_read_holds_up_no_other() -> None:
    """What lies at one queue's keys is nothing to the jobs of the next."""
    registries = Registries(set())
    registries.broken = {"bad": ServiceUnavailable("WRONGTYPE", service="Redis")}
    with pytest.raises(ServiceUnavailable):
        _recovery(Api(queued=1), registries, names=("bad", "q")).sweep()
    assert registries.enqueued == [1]


def test_names_that_are_no_numbers() -> None:
    """Digits of other scripts, and endless ones, are no job's number."""
    registries = Registries(set())
    registries.taken = ["\u00b2", "9" * 5000, "7"]
    _recovery(Api(), registries).sweep()
    assert registries.requeued == registries.taken


def test_a_run_that_mlflow_does_not_let_us_close() -> None:
    """It keeps no run of a lost start open."""
    leases: Any = Leases()
    closed: list[str] = []
    run = SimpleNamespace(job_id=1, status="KILLED")
    leases.runs = SimpleNamespace(
        known=lambda: {"refused": "KILLED"},
        begun=lambda: {"token": run},
        begin_closing=lambda *_: SimpleNamespace(run=run),
        end_closing=lambda *_, **__: None,
    )
    leases.is_under_way = lambda *_: False
    leases.try_become_sweeper = lambda *_: True

    def close_begun(token: str, _status: str) -> bool:
        closed.append(token)
        return True

    recovery = _recovery(
        Api(),
        Registries(set()),
        leases,
        close_run=lambda *_: False,
        close_begun=close_begun,
    )
    recovery.sweep()
    assert closed == ["token"]


@pytest.mark.parametrize("changed", [None, "", "soon", 7])
def test_a_job_whose_time_cannot_be_read(changed: Any) -> None:
    """It is not known to be lost; all others are found."""
    api, registries = Api(queued=3), Registries(set())
    api.changed = {1: changed, 2: LONG_AGO.removesuffix("+00:00")}
    _recovery(api, registries).sweep()
    assert registries.enqueued == [2, 3]


def test_an_api_that_lists_the_same_again() -> None:
    """Whatever it says how many there are, that has an end."""
    api, registries = Api(), Registries(set())
    (job,), _ = Api(queued=1).jobs_with_status("queued")
    asked: list[int] = []

    def same(status: str, *, index: int = 0) -> tuple[list[dict[str, Any]], int]:
        assert status
        asked.append(index)
        return [job], 10**12

    api.jobs_with_status = same  # type: ignore[method-assign]
    _recovery(api, registries).sweep()
    assert len(asked) < 10
