"""What an attempt at a job asks of the REST API and of Redis, in memory."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.unit.daemon.outbox.simulated_api import JOB, SimulatedApi

from dioptra_worker.errors import NotFound, ServiceRefused, ServiceUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.api.models import Job
    from dioptra_worker.broker.leases import PendingStatus, UnknownRun
    from dioptra_worker.common.stop import JobStop

TROUBLES: dict[str, Exception] = {
    "refused": ServiceRefused("no", service="API", status=400),
    "missing": NotFound("no such snapshot", service="API", status=404),
    "away": ServiceUnavailable("away", service="API"),
    "a bug": RuntimeError("who knows"),
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

    def config(self, job: Job) -> dict[str, Any]:
        """The task graph."""
        assert job.id == JOB
        graph: dict[str, Any] = self._request("GET config", lambda: {"graph": {}})
        if self.trouble is not None:
            raise TROUBLES[self.trouble]
        return graph

    def parameters(self, job_id: int) -> dict[str, Any]:
        """The job's parameters."""
        assert job_id == JOB
        return {}

    def declared_parameters(self, job: Job) -> tuple[()]:
        """The entrypoint's parameters."""
        assert job.id == JOB
        return ()

    def artifact_parameters(self, job_id: int) -> list[Any]:
        """The job's inputs."""
        assert job_id == JOB
        return []

    def artifact_plugins(self, job: Job) -> list[Any]:
        """The plugins that write artifacts."""
        assert job.id == JOB
        return []

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
        runs: The MLflow runs that are to be closed, with their status.
        unknown: The starts whose MLflow run is to be looked for, likewise.
    """

    held: PendingStatus | None = None
    runs: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)

    def pending_status(self, job_id: int) -> PendingStatus | None:
        """The end that the API was not told."""
        assert job_id == JOB
        return self.held

    def record_pending_status(self, pending: PendingStatus, stop: JobStop) -> None:
        """Note an end that the API is to be told."""
        del stop
        self.held = pending

    def record_open_run(self, run_id: str, status: str) -> None:
        """Leave an MLflow run to be closed."""
        self.runs.append((run_id, status))

    def record_unknown_run(self, token: str, run: UnknownRun) -> None:
        """Leave an MLflow run to be looked for."""
        self.unknown.append((token, run.status))
