"""What every backend of tracking does, and how long one that is away is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.protocol.run_rules import RunStatus
    from dioptra_worker.tracking.artifact_store import Store


class Tracking(Protocol):
    """Keeps one run."""

    def start(
        self, job_id: int, token: str = "", *, again: bool = False
    ) -> tuple[str, str]:
        """Begin a run and make it the active one for ``mlflow.log_*``.

        Args:
            job_id: The job's id, or `dioptra_worker.protocol.messages.NO_JOB`.
            token: What tells this start from every other; empty is one of our own.
            again: Whether another process has perhaps begun the run with that token.

        Returns:
            The run's id and the URI of its artifacts.
        """
        ...

    def describe(
        self,
        run_id: str,
        *,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> None:
        """Give the run its name, the job's parameters, and tags."""
        ...

    def store(self, uri: str) -> Store:
        """The store of the run's artifacts."""
        ...

    def log_metric(self, run_id: str, name: str, value: float, step: int) -> None:
        """Keep a metric of the run."""
        ...

    def metrics(self, run_id: str) -> Mapping[str, tuple[float, int]]:
        """The last value and step of each of the run's metrics."""
        ...

    def direct_points(self) -> Mapping[str, int]:
        """How many points of each metric this process gave to MLflow itself."""
        ...

    def close(self, run_id: str, status: RunStatus) -> None:
        """Give the run its final status."""
        ...

    def close_begun(self, token: str, status: RunStatus) -> None:
        """Give each run that a start has begun, and that is open, a final status."""
        ...
