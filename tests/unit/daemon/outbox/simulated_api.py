"""The REST API's rules about one job, in memory, failing when it is told to.

Its rules are those of the real one (`tests/integration` asks that one the same):
which status may follow which, one MLflow run for a job, one artifact for a URI, logs
that only grow. Each method makes the requests that `DioptraApi` makes for it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

from dioptra_worker.api.models import Job
from dioptra_worker.errors import (
    Conflict,
    NotFound,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dioptra_worker.protocol.messages import Log

T = TypeVar("T")

MAY_FOLLOW = {
    "queued": {"started", "deferred", "reset"},
    "started": {"finished", "failed", "reset"},
    "deferred": {"started", "reset"},
    "failed": {"reset"},
    "finished": {"reset"},
}
JOB = 7
EXPERIMENT = 3
GROUP = 2


@dataclass(frozen=True)
class Fault:
    """How a request fails.

    Attributes:
        done: Whether the server has done the work all the same.
        status: What it answers; None is no answer at all.
        retry_after: Seconds that it asks to wait.
        silence: Seconds that the client waited for the answer.
        words: What it says.
    """

    done: bool = False
    status: int | None = None
    retry_after: float | None = None
    silence: float = 0.0
    words: str = ""

    def error(self, what: str) -> ServiceUnavailable:
        """What the client makes of it."""
        return ServiceUnavailable(
            f"{what} failed: {self}",
            service="REST API",
            status=self.status,
            retry_after=self.retry_after,
            silence=self.silence,
        )


REFUSED = Fault()
LOST_ANSWER = Fault(done=True)


@dataclass
class SimulatedApi:
    """One job, and what the API knows of it.

    Attributes:
        status: The job's status.
        fault: Asked before each request; an error is raised instead of the request.
        log: The job's log.
        metrics: Values by name and step.
        artifacts: The URIs registered.
        run_id: The job's MLflow run.
        deleted: Whether the job is gone.
        statuses: Every status that the job has had, with the log's length then.
        requests: The requests made, by name.
    """

    status: str = "started"
    fault: Callable[[str], Fault | ServiceError | None] = lambda _: None
    log: list[Log] = field(default_factory=list)
    metrics: dict[tuple[str, int | None], float | str] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    run_id: str | None = None
    deleted: bool = False
    statuses: list[tuple[str, int]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    # -- what `outbox.Api` and `claim.Api` ask for ----------------------------

    def ping(self) -> None:
        """See whether the API answers."""
        self._request("GET user", lambda: None)

    def job(self, job_id: int) -> Job:
        """Fetch a job."""
        assert job_id == JOB
        return self._request("GET job", self._job)

    def set_status(self, experiment_id: int, job_id: int, status: str) -> None:
        """Move a job to another status."""
        assert (experiment_id, job_id) == (EXPERIMENT, JOB)
        self._request(f"PUT {status}", lambda: self._set_status(status))

    def mlflow_run(self, job_id: int) -> str | None:
        """The job's MLflow run."""
        assert job_id == JOB
        return self._request("GET mlflowRun", lambda: self.run_id)

    def set_mlflow_run(self, job_id: int, run_id: str) -> None:
        """Say which MLflow run a job has; the same one twice is harmless."""
        try:
            self._request("POST mlflowRun", lambda: self._set_run(run_id))
        except ServiceRefused as error:
            if error.status != 400 or self.mlflow_run(job_id) != run_id:
                raise

    def post_log(self, job_id: int, records: Sequence[Log]) -> None:
        """Append records to a job's log."""
        assert job_id == JOB
        self._request("POST log", lambda: self._append(records))

    def log_backwards(self, job_id: int, *, first: int) -> Iterator[list[str]]:
        """The texts of the job's log, from its end, page by page."""
        assert job_id == JOB
        end = self._request("GET log", lambda: len(self.log))
        while end > 0:
            begin = max(0, end - first)
            found = self._request("GET log", partial(self._page, begin, end))
            yield [record.message for record in found]
            end = begin

    def _page(self, begin: int, end: int) -> list[Log]:
        return self.log[begin:end]

    def post_metric(
        self, job_id: int, name: str, value: float | str, step: int | None
    ) -> None:
        """Set a metric's value at a step."""
        assert job_id == JOB
        self._request("POST metric", lambda: self.metrics.update({(name, step): value}))

    def register_artifact(
        self,
        *,
        group_id: int,
        job_id: int,
        uri: str,
        plugin_snapshot_id: int,
        task_id: int,
        description: str,
    ) -> None:
        """Make an artifact known; one that is known already is left as it is."""
        assert (group_id, job_id) == (GROUP, JOB)
        assert plugin_snapshot_id
        assert task_id
        assert description
        try:
            self._request("POST artifact", lambda: self._register(uri))
        except Conflict:
            return

    def artifact_uris(self, job_id: int) -> set[str]:
        """Where the artifacts lie that the job has made known."""
        assert job_id == JOB
        return self._request("GET artifacts", lambda: set(self.artifacts))

    # -- the server ------------------------------------------------------------

    def messages(self) -> list[str]:
        """The log's texts without their stamps."""
        return [record.message.partition("Z ")[2] for record in self.log]

    def _request(self, what: str, work: Callable[[], T]) -> T:
        with self.lock:
            self.requests.append(what)
            fault = self.fault(what)
            if isinstance(fault, ServiceError):
                raise fault
            if fault is not None and not fault.done:
                raise fault.error(what)
            if self.deleted:
                raise NotFound(f"{what}: no such job", service="REST API", status=404)
            done = work()
            if fault is not None:
                raise fault.error(what)
            return done

    def _job(self) -> Job:
        return Job(
            id=JOB,
            experiment_id=EXPERIMENT,
            group_id=GROUP,
            status=self.status,
            entrypoint_id=1,
            entrypoint_snapshot_id=1,
            entrypoint_name="an entrypoint",
            queue="a queue",
        )

    def _set_status(self, status: str) -> None:
        if status not in MAY_FOLLOW[self.status]:
            raise _bad_request(f"{self.status} -> {status}")
        if status == "reset":
            self.run_id = None
            status = "queued"
        self.status = status
        self.statuses.append((status, len(self.log)))

    def _set_run(self, run_id: str) -> None:
        if self.run_id is not None:
            raise _bad_request("the job has an MLflow run already")
        self.run_id = run_id

    def _append(self, records: Sequence[Log]) -> None:
        severities = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
        if any(record.severity not in severities for record in records):
            raise _bad_request("no such severity")
        self.log += records

    def _register(self, uri: str) -> None:
        if self.run_id is None:
            raise _bad_request("the job has no MLflow run")
        if uri in self.artifacts:
            raise Conflict("it is there", service="REST API", status=409)
        self.artifacts.append(uri)


def _bad_request(words: str) -> ServiceRefused:
    return ServiceRefused(words, service="REST API", status=400)


class Script:
    """Fails the next requests of a name, each as told; others pass."""

    def __init__(self, **faults: Sequence[Fault | ServiceError | None]) -> None:
        """Names with ``_`` for the space: ``POST_log=[REFUSED]``."""
        self._faults = {
            name.replace("_", " "): list(found) for name, found in faults.items()
        }

    def __call__(self, what: str) -> Fault | ServiceError | None:
        """How the next request of that name fails."""
        left = self._faults.get(what)
        return left.pop(0) if left else None


class Gate:
    """Keeps requests of a name away while it is closed."""

    def __init__(self, closed: Literal["POST log", "POST metric"]) -> None:
        self.closed: str | None = closed

    def open(self) -> None:
        """Let everything pass."""
        self.closed = None

    def __call__(self, what: str) -> Fault | None:
        """Whether the next request of that name fails."""
        return REFUSED if what == self.closed else None
