"""What became of a job, as the REST API, RQ and MLflow show it, and its log says it."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis
from rq.exceptions import NoSuchJobError
from rq.job import Job
from tests.plugins.clients import ApiClient, MlflowReader
from tests.plugins.testbed import Platform
from tests.plugins.until import until

if TYPE_CHECKING:
    from collections.abc import Mapping

FINAL = {"finished", "failed"}
FAILED = ("failed", "failed", "FAILED")
FINISHED = ("finished", "finished", "FINISHED")
_UNSETTLED = {"queued", "started", "RUNNING"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended.

    Attributes:
        api: Its status in the REST API.
        rq: Its status in RQ; ``none`` when RQ does not know it.
        mlflow: The status of its MLflow run; ``none`` when it has none.
        line: The last line of its log that says what was asked for.
        seconds: Until its final status, from what *after* says.
        after: What the seconds count from.
    """

    api: str
    rq: str
    mlflow: str
    line: str
    seconds: float
    after: str

    @property
    def statuses(self) -> tuple[str, str, str]:
        """In the REST API, in RQ, in MLflow; compare with `FAILED`, `FINISHED`."""
        return self.api, self.rq, self.mlflow


class Witness:
    """Looks at jobs of one stack from all sides."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Connect.

        Args:
            environment: The stack's.
        """
        self._api = ApiClient(environment)
        self._platform = Platform(self._api)
        self._mlflow = MlflowReader(environment)
        self._redis = redis.Redis.from_url(environment["RQ_REDIS_URI"])

    def outcome(
        self,
        job: int,
        *,
        says: str,
        since: float | None = None,
        after: str = "the start of the job",
        seconds: float = 60.0,
    ) -> Outcome:
        """Wait until a job has ended everywhere.

        Args:
            job: The job.
            says: What a line of its log must have.
            since: The time (as of `time.time`) that *after* names; the job's start
                without it.
            after: What the time to settle counts from: ``the kill``, ``the API was
                back``.
            seconds: How long that may take at most.

        Raises:
            AssertionError: It has not ended in time, or no line says that.
        """
        platform = self._platform
        deadline = time.monotonic() + seconds
        platform.wait(job, seconds=seconds)
        until(
            lambda: not _UNSETTLED & set(self._statuses(job)),
            seconds=deadline - time.monotonic(),
            says=lambda: f"job {job} is still {self._statuses(job)}",
        )
        lines = [line.text for line in platform.log(job) if says in line.text]
        assert lines, f"no line says {says!r}:\n{platform.text(job)}"
        began, ended = self._times(job)
        api, rq, mlflow = self._statuses(job)
        return Outcome(
            api=api,
            rq=rq,
            mlflow=mlflow,
            line=lines[-1],
            seconds=max(0.0, ended - (began if since is None else since)),
            after=after,
        )

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._mlflow.close()
        self._redis.close()

    def _statuses(self, job: int) -> tuple[str, str, str]:
        run = self._api.get(f"/jobs/{job}/mlflowRun")["mlflowRunId"]
        try:
            rq = str(Job.fetch(str(job), self._redis).get_status().value)
        except NoSuchJobError:
            rq = "none"
        mlflow = self._mlflow.status(str(run).replace("-", "")) if run else "none"
        return self._platform.status(job), rq, mlflow

    def _times(self, job: int) -> tuple[float, float]:
        """When a job was first started, and when it got its final status."""
        found = self._api.get(f"/jobs/{job}/snapshots", pageLength=100)["data"]
        times = sorted(
            (dt.datetime.fromisoformat(entry["snapshotCreatedOn"]), entry["status"])
            for entry in found
        )
        began = next(moment for moment, status in times if status == "started")
        ended = next(moment for moment, status in reversed(times) if status in FINAL)
        return began.timestamp(), ended.timestamp()
