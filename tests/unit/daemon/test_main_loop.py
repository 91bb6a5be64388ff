"""When the main loop takes a job, and when it does not."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.plugins.until import until

from dioptra_worker.common.stop import StopRequests
from dioptra_worker.daemon.health.snapshot import API
from dioptra_worker.daemon.health.state import HealthState
from dioptra_worker.daemon.main_loop import MainLoop
from dioptra_worker.daemon.options import DaemonOptions
from dioptra_worker.errors import LoginRefused, PlatformTooOld, ServiceError

LONG = 30.0


class Api:
    """An API that is there, and refuses the worker until a test mends that."""

    def __init__(self, refusal: ServiceError) -> None:
        self.refusal: ServiceError | None = refusal
        self.asked = 0

    def reach(self) -> None:
        """Somebody listens there."""

    def check_platform(self) -> None:
        """Whether it is new enough."""
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal


class Jobs:
    """A queue with one job; also what handles it, and who watches the queue."""

    job_id = 1

    def __init__(self) -> None:
        self.taken = threading.Event()

    def suspended(self) -> bool:
        """Whether ``rq suspend`` holds all workers."""
        return False

    def dequeue(self) -> Any:
        """Take the job."""
        self.taken.set()
        return self

    def handle(self, *_: object) -> bool:
        """Handle it."""
        return True

    def watch(self) -> None:
        """Watch the queue."""


@pytest.mark.parametrize("refused", [PlatformTooOld, LoginRefused])
def test_who_is_refused_meanwhile_takes_no_job(refused: type[ServiceError]) -> None:
    """The job stays in its queue, and is taken once somebody has mended it."""
    api, jobs, health = Api(refused("not you", service=API)), Jobs(), HealthState()
    parts: Any = {"api": api, "rq": jobs, "handler": jobs, "queue_watcher": jobs}
    loop = MainLoop(
        DaemonOptions(queues=("cpu",), max_jobs=1),
        **parts,
        stops=StopRequests(),
        health=health,
        shutdown_grace=0.0,
        kill_grace=0.0,
    )
    running = threading.Thread(target=loop.run, daemon=True)
    running.start()
    until(lambda: api.asked > 2, seconds=LONG)
    assert not jobs.taken.is_set()
    assert health.snapshot().waiting_for == (API,)
    api.refusal = None
    running.join(LONG)
    assert not running.is_alive()
    assert jobs.taken.is_set()
    assert health.snapshot().waiting_for == ()
