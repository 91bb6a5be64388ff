"""The results, as metrics of the job and of its MLflow run."""

import os

import mlflow
import structlog
from dioptra import pyplugs
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client

LOGGER = structlog.get_logger()


@pyplugs.register
def log_accuracies(accuracies: dict[str, float]) -> None:
    """Log each accuracy as a metric of the job, and of its MLflow run.

    Args:
        accuracies: Accuracies by the names of their metrics.
    """
    client = get_authenticated_worker_client(LOGGER, "json")
    for name, value in accuracies.items():
        client.jobs.append_metric_by_id(
            job_id=os.environ["__JOB_ID"], metric_name=name, metric_value=value
        )
        mlflow.log_metric(name, value)
        print(f"{name}: {value:.1%}")
