"""What an attempt at a job asks of the REST API and of Redis, in memory."""

from __future__ import annotations

import tarfile
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from tests.unit.daemon.outbox.simulated_api import JOB, SimulatedApi

from dioptra_worker.common.text.masking import Mask
from dioptra_worker.daemon.job.context import AttemptContext
from dioptra_worker.daemon.staging.snapshot_cache import SnapshotCache
from dioptra_worker.errors import NotFound, ServiceRefused, ServiceUnavailable
from dioptra_worker.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.supervision.simulated_runner import Forkserver

    from dioptra_worker.api.models import Job
    from dioptra_worker.broker.records import LeaseHolder, PendingStatus, UnknownRun
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.settings import Times

TROUBLES: dict[str, Exception] = {
    "refused": ServiceRefused("no", service="API", status=400),
    "missing": NotFound("no such snapshot", service="API", status=404),
    "away": ServiceUnavailable("away", service="API"),
    "a bug": RuntimeError("who knows"),
}

OUTPUTS = ("kept", "more")
"""The output artifacts of the job."""
GRAPH = {
    "graph": {},
    "artifact_outputs": {name: {"task": {"name": "Text"}} for name in OUTPUTS},
}
PLUGIN = {
    "name": "texts",
    "snapshotId": 1,
    "files": [
        {"filename": "text.py", "tasks": {"artifacts": [{"name": "Text", "id": 1}]}}
    ],
}


@dataclass
class PlanningApi(SimulatedApi):
    """The API of one job with what its plan is made of, which is little.

    Attributes:
        url: Its address.
        trouble: What goes wrong whenever the task graph is asked for, of `TROUBLES`.
    """

    url: str = "http://api.test"
    trouble: str | None = None

    def job_config(self, job_id: int) -> dict[str, Any]:
        """The task graph."""
        assert job_id == JOB
        graph: dict[str, Any] = self._request("GET config", lambda: GRAPH)
        if self.trouble is not None:
            raise TROUBLES[self.trouble]
        return graph

    def parameters(self, job_id: int) -> dict[str, Any]:
        """The job's parameters."""
        assert job_id == JOB
        return self._request("GET parameters", dict)

    def entrypoint_config(self, job: Job) -> dict[str, Any]:
        """The task graph where the job has none of its own, which is nowhere."""
        return self.job_config(job.id)

    def declared_parameters(self, job: Job) -> tuple[()]:
        """The entrypoint's parameters."""
        assert job.id == JOB
        return ()

    def artifact_parameters(self, job_id: int) -> list[Any]:
        """The job's inputs, which are not asked for: its record has none."""
        raise AssertionError(f"job {job_id} reads no artifact")

    def artifact_plugins(self, job: Job) -> list[Any]:
        """The plugins that write artifacts."""
        assert job.id == JOB
        return [PLUGIN]

    def plugins_bundle(self, job: Job, target: Path, arrived: object) -> None:
        """An archive of plugins, which is empty."""
        del arrived
        assert job.id == JOB
        self._request("GET plugins", lambda: tarfile.open(target, "w:gz").close())

    artifact_plugins_bundle = plugins_bundle

    def platform_version(self) -> str:
        """The platform's version."""
        return ""


@dataclass
class Leases:
    """What workers tell each other in Redis.

    Attributes:
        held: The end that the API was not told.
        to_close: The MLflow runs that are to be closed, with their status.
        unknown: The starts whose MLflow run is to be looked for, likewise.
        taken_by: Who else has the lease on the job.
        closers: How many others are to be waited for that close a run of its.
        asked: How they were asked to do so.
    """

    held: PendingStatus | None = None
    to_close: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    taken_by: LeaseHolder | None = None
    closers: int = 0
    asked: list[str] = field(default_factory=list)

    def pending_status(self, job_id: int) -> PendingStatus | None:
        """The end that the API was not told."""
        assert job_id == JOB
        return self.held

    def record_pending_status(
        self, pending: PendingStatus, stop: JobStop
    ) -> LeaseHolder | None:
        """Note an end that the API is to be told, unless another has the job."""
        del stop
        if self.taken_by is None:
            self.held = pending
        return self.taken_by

    @property
    def runs(self) -> Leases:
        """What workers tell each other of MLflow runs."""
        return self

    def record_known(
        self, run_id: str, status: str, *, job_id: int, token: str
    ) -> bool:
        """Leave an MLflow run to be closed."""
        del job_id, token
        self.to_close.append((run_id, status))
        return True

    def record_begun(self, token: str, run: UnknownRun) -> bool:
        """Leave an MLflow run to be looked for."""
        self.unknown.append((token, run.status))
        return True

    def remember_begun(self, token: str, run: UnknownRun) -> None:
        """Likewise, of a lost start."""
        self.unknown.append((token, run.status))

    def take_over(self, job_id: int, status: str, *, token: str) -> bool:
        """Whether nobody closes what lost attempts have begun."""
        del job_id, token
        self.asked.append(status)
        return len(self.asked) > self.closers


def is_prefetching() -> bool:
    """Whether what was begun beside a claim is still under way."""
    return any(it.name == "dioptra-prefetch" for it in threading.enumerate())


def attempt_context(
    api: PlanningApi,
    forkserver: Forkserver,
    leases: Leases,
    folder: Path,
    *,
    times: Times | None = None,
    **settings: Any,
) -> AttemptContext:
    """What the attempts of one worker share.

    Args:
        api: The REST API.
        forkserver: Hands out runners.
        leases: Redis.
        folder: The worker's folder.
        times: What is shortened.
        **settings: What is set otherwise than it is by default.
    """
    given: dict[str, Any] = {
        "username": "worker",
        "password": "secret",
        "api_url": api.url,
        "redis_url": "redis://redis.test",
        "mlflow_tracking_uri": "http://mlflow.test",
        "MLFLOW_S3_ENDPOINT_URL": "http://s3.test",
        "work_dir": folder,
        **settings,
    }
    return AttemptContext(
        api=cast("Any", api),
        launcher=cast("Any", forkserver),
        leases=cast("Any", leases),
        settings=Settings(**given),
        mask=Mask([]),
        cache=SnapshotCache(folder / "cache", size=0, identity=lambda: "", key=b"k"),
        times=times or {},
    )
