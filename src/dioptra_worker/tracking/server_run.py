"""A run on the server that the environment names."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from mlflow.tracking import MlflowClient

from dioptra_worker.tracking import artifact_store, mlflow_run

if TYPE_CHECKING:
    from collections.abc import Mapping


class ServerTracking:
    """Keeps a run through MLflow's client."""

    def __init__(self) -> None:
        self._token = uuid.uuid4().hex
        self._tries = 0

    def start(self, job_id: int) -> tuple[str, str]:
        """Begin the run; when tried again, find what a lost answer has hidden."""
        self._tries += 1
        return mlflow_run.start(job_id, token=self._token, again=self._tries > 1)

    describe = staticmethod(mlflow_run.describe)
    store = staticmethod(artifact_store.store)
    close = staticmethod(mlflow_run.close)

    def log_metric(self, run_id: str, name: str, value: float, step: int) -> None:
        """Keep a metric of the run."""
        with mlflow_run.translate_errors("log a metric"):
            MlflowClient().log_metric(run_id, name, value, step=step)

    def metrics(self, run_id: str) -> Mapping[str, tuple[float, int]]:
        """The last value and step of each of the run's metrics."""
        with mlflow_run.translate_errors("show the run's metrics"):
            data = MlflowClient().get_run(run_id).data
        # MLflow tells the latest value of a metric, without its step.
        return {name: (value, 0) for name, value in data.metrics.items()}
