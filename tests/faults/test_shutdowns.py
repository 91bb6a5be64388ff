"""A shutdown is a shutdown, whatever is away, hangs, or is held back at that moment."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import redis
from tests.plugins.outcomes import FINISHED
from tests.plugins.switch import Switch, switch
from tests.plugins.testbed import Platform, platform_of_a_test
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.outcomes import Witness

    from dioptra_worker.tools.local import LocalStack

IDLE_LIMIT = 1.0
BUSY_LIMIT = 2.0
"""Seconds in which a worker ends; one with a job has its graces beside."""
SLACK = 3.0
"""Seconds more on a machine that runs other tests beside."""
GRACE = 0.5
KILL_GRACE = 1.0
SETTINGS = {
    "DIOPTRA_WORKER_SHUTDOWN_GRACE": str(GRACE),
    "DIOPTRA_WORKER_KILL_GRACE": str(KILL_GRACE),
}
SERVICES = {"api": "DIOPTRA_API", "redis": "RQ_REDIS_URI"}
SOURCE = """
@pyplugs.register
def wait_for(path, deaf=False, seconds=60):
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("waiting now", flush=True)
    deadline = time.time() + seconds
    while not os.path.exists(path) and time.time() < deadline:
        time.sleep(0.02)
    print("waited")
"""


platform = platform_of_a_test


@dataclass(frozen=True)
class Surroundings:
    """A worker's services, each behind a switch.

    Attributes:
        environment: What the worker is started with.
        switches: By the service's name.
    """

    environment: dict[str, str]
    switches: dict[str, Switch]

    def spoil(self, how: str, *services: str) -> None:
        """Have services hang (``hold``), or be away (``cut``)."""
        for name in services:
            getattr(self.switches[name], how)()


@pytest.fixture(name="surroundings")
def _surroundings(stack: LocalStack) -> Iterator[Surroundings]:
    environment = stack.environment()
    with ExitStack() as opened:
        switches = {
            name: opened.enter_context(switch(environment[setting]))
            for name, setting in SERVICES.items()
        }
        through = {SERVICES[name]: each.url for name, each in switches.items()}
        yield Surroundings({**environment, **through}, switches)


@contextmanager
def _ends_within(running: WorkerProcess, seconds: float) -> Iterator[None]:
    """What is done in the block ends a worker, orderly and in time."""
    began = time.monotonic()
    yield
    code = running.wait(seconds + 10)
    took = time.monotonic() - began
    assert code == 0, running.log
    assert took < seconds + SLACK, f"{took:.2f} s\n{running.log}"
    assert "Traceback" not in running.log


@pytest.mark.parametrize(
    "signum",
    [
        signal.SIGTERM,
        signal.SIGHUP,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_suspended_worker_ends(
    signum: signal.Signals,
    platform: Platform,
    stack: LocalStack,
    tmp_path: Path,
) -> None:
    """``rq suspend`` holds back jobs, not the end."""
    environment = stack.environment()
    url = environment["RQ_REDIS_URI"].removesuffix("/0") + "/6"  # nobody else's
    with redis.Redis.from_url(url) as client:
        client.set("rq:suspended", 1)
        try:
            with worker(
                {**environment, "RQ_REDIS_URI": url}, tmp_path, platform.queue
            ) as running:
                running.wait_for("suspended by")
                with _ends_within(running, IDLE_LIMIT):
                    running.send(signum)
        finally:
            client.delete("rq:suspended")


@pytest.mark.parametrize(
    ("how", "services"),
    [
        pytest.param("hold", ["api"], marks=pytest.mark.slow),
        ("cut", ["api"]),
        ("hold", ["redis"]),
        pytest.param("cut", ["redis"], marks=pytest.mark.slow),
        ("hold", ["api", "redis"]),
        pytest.param("cut", ["api", "redis"], marks=pytest.mark.slow),
    ],
)
def test_an_idle_worker_ends(
    how: str,
    services: list[str],
    platform: Platform,
    surroundings: Surroundings,
    tmp_path: Path,
) -> None:
    """Whatever is away or does not answer, an idle worker ends at once."""
    with worker(surroundings.environment, tmp_path, platform.queue) as running:
        surroundings.spoil(how, *services)
        with _ends_within(running, IDLE_LIMIT):
            running.send()


@pytest.mark.parametrize("how", ["hold", "cut"])
def test_a_worker_that_waits_for_the_api_ends(
    how: str, platform: Platform, surroundings: Surroundings, tmp_path: Path
) -> None:
    """A job that waits, and an API that is not there for it, hold up no end."""
    with worker(surroundings.environment, tmp_path, platform.queue) as running:
        surroundings.spoil(how, "api")
        job = platform.submit(platform.entrypoint(SOURCE, {"one": {"wait_for": ["/"]}}))
        if how == "cut":
            running.wait_for("cannot be reached")
        else:  # it hangs in a request, of which nothing is said
            time.sleep(0.5)
        with _ends_within(running, IDLE_LIMIT + BUSY_LIMIT):
            running.send()
    assert platform.status(job) == "queued"


@pytest.mark.parametrize("service", ["api", "redis"])
def test_a_worker_that_starts_ends(
    service: str, platform: Platform, surroundings: Surroundings, tmp_path: Path
) -> None:
    """A worker that has not come far ends as quickly as one that has."""
    surroundings.spoil("hold", service)
    with worker(
        surroundings.environment, tmp_path, platform.queue, ready=False
    ) as running:
        if service == "redis":
            running.wait_for("logged in")
        else:
            time.sleep(2.0)
        with _ends_within(running, IDLE_LIMIT):
            running.send()


@pytest.mark.parametrize(
    ("how", "services", "deaf"),
    [
        ("hold", ["api"], True),
        ("cut", ["api", "redis"], False),
        pytest.param("hold", ["api"], False, marks=pytest.mark.slow),
        pytest.param("hold", ["redis"], False, marks=pytest.mark.slow),
        pytest.param("hold", ["redis"], True, marks=pytest.mark.slow),
        pytest.param("cut", ["api", "redis"], True, marks=pytest.mark.slow),
    ],
)
def test_a_busy_worker_ends(
    how: str,
    services: list[str],
    deaf: bool,
    platform: Platform,
    surroundings: Surroundings,
    stack: LocalStack,
    witness: Witness,
    tmp_path: Path,
) -> None:
    """A worker with a job ends within its graces, and another runs the job."""
    go = tmp_path / "go"
    task = {"wait_for": [str(go), deaf]}
    job = platform.submit(platform.entrypoint(SOURCE, {"one": task}))
    with worker(
        surroundings.environment, tmp_path, platform.queue, settings=SETTINGS
    ) as running:
        platform.wait_for_line(job, "waiting now")
        surroundings.spoil(how, *services)
        grace = GRACE + (KILL_GRACE if deaf else 0.0)
        with _ends_within(running, grace + BUSY_LIMIT):
            running.send(signal.SIGHUP)
    go.touch()
    with worker(stack.environment(), tmp_path, platform.queue, settings=SETTINGS):
        outcome = witness.outcome(job, says="waited")
    assert outcome.statuses == FINISHED
