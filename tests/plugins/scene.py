"""A worker on a stack, and the question that every fault asks: how did the job end?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rq.job import Job
from tests.plugins.worker_process import wait_until_gone

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis
    from tests.plugins.clients import MlflowReader
    from tests.plugins.testbed import Platform
    from tests.plugins.worker_process import WorkerProcess

PROBE = """
@pyplugs.register
def probe():
    print("probed")
"""
PATIENCE = 60.0
"""Seconds that anything may take before a test gives up; none is meant to be near."""


@dataclass(frozen=True, kw_only=True)
class End:
    """How a job ended, wherever a user can look.

    Attributes:
        status: In the REST API.
        rq: In RQ's books.
        mlflow: Of its MLflow run; None when it has none.
        text: Its log.
        last: The last line of its log.
    """

    status: str
    rq: str
    mlflow: str | None
    text: str
    last: str


class Scene:
    """One worker, one queue that nobody else uses, and readers of all that is kept."""

    def __init__(
        self,
        platform: Platform,
        daemon: WorkerProcess,
        *,
        mlflow: MlflowReader,
        connection: redis.Redis,
        standing: int = 1,
    ) -> None:
        """Look on.

        Args:
            platform: Where jobs are submitted.
            daemon: The worker.
            mlflow: Where runs are.
            connection: Where RQ's books are.
            standing: Processes below an idle daemon: the template, and a spare.
        """
        self.platform = platform
        self.daemon = daemon
        self._mlflow = mlflow
        self._connection = connection
        self._standing = standing
        self._probe = platform.entrypoint(PROBE, {"probing": {"probe": []}})

    def end(self, job: int, *, seconds: float = PATIENCE) -> End:
        """Wait until a job has ended in the REST API and in RQ's books.

        Args:
            job: The job.
            seconds: How long at most.
        """
        status = self.platform.wait(job, seconds=seconds)
        until(lambda: self.rq(job) not in {"started", "queued"}, seconds=seconds)
        run = self.platform.api.session.get(
            f"{self.platform.api.root}/jobs/{job}/mlflowRun", timeout=PATIENCE
        )
        lines = [line.text for line in self.platform.log(job)]
        return End(
            status=status,
            rq=self.rq(job),
            mlflow=self._mlflow.status(self.platform.run_id(job)) if run.ok else None,
            text="\n".join(lines),
            last=lines[-1] if lines else "",
        )

    def rq(self, job: int) -> str:
        """A job's status in RQ's books."""
        return str(Job.fetch(str(job), self._connection).get_status().value)

    def assert_clean(self) -> None:
        """Nothing of a job is left, the worker lives, and the next job runs."""
        assert self.daemon.process.poll() is None, self.daemon.log
        until(
            lambda: not list(self.daemon.work_dir.glob("job-*")),
            says=lambda: str(list(self.daemon.work_dir.glob("job-*"))),
        )
        job = self.platform.submit(self._probe)
        assert self.end(job).status == "finished", self.platform.text(job)
        until(
            lambda: len(self.daemon.descendants()) <= self._standing,
            says=lambda: str(self.daemon.descendants()),
        )

    @staticmethod
    def assert_gone(pids: set[int]) -> None:
        """Processes have ended."""
        assert wait_until_gone(pids, seconds=PATIENCE) == set()


def until(
    condition: Callable[[], bool],
    *,
    seconds: float = PATIENCE,
    says: Callable[[], str] = str,
) -> None:
    """Wait until something is so.

    Args:
        condition: What.
        seconds: How long at most.
        says: What to tell when it never was.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, says()
        time.sleep(0.05)
