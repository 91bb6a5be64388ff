"""The results: as metrics, as a table and as a figure."""

import os

import mlflow
import pandas as pd
import structlog
from dioptra import pyplugs
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client
from matplotlib.figure import Figure

LOGGER = structlog.get_logger()


@pyplugs.register
def log_accuracy(accuracies: dict[str, float]) -> None:
    """Log each accuracy as a metric of the job, and of its MLflow run.

    Args:
        accuracies: Accuracies by the names of their metrics.
    """
    for name, value in accuracies.items():
        _log_metric(name, value)
        mlflow.log_metric(name, value)
        print(f"{name}: {value:.1%}")


@pyplugs.register
def log_curve(curve: list[dict[str, float]]) -> None:
    """Log a curve as a metric with steps.

    Args:
        curve: Points with ``strength`` and ``accuracy``; the first is step 0.
    """
    for step, point in enumerate(curve):
        _log_metric("accuracy_by_strength", point["accuracy"], step)
        mlflow.log_metric("accuracy_by_strength", point["accuracy"], step=step)


@pyplugs.register
def as_table(curve: list[dict[str, float]]) -> pd.DataFrame:
    """Make a table of a curve.

    Args:
        curve: Points with ``strength`` and ``accuracy``.

    Returns:
        One row per point.
    """
    return pd.DataFrame(curve, columns=["strength", "accuracy"])


@pyplugs.register
def draw(curve: list[dict[str, float]], title: str = "") -> Figure:
    """Draw a curve.

    Args:
        curve: Points with ``strength`` and ``accuracy``.
        title: What to write above it.

    Returns:
        The figure, not shown anywhere.
    """
    # A Figure of one's own needs no display, unlike those of pyplot.
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        [point["strength"] for point in curve],
        [point["accuracy"] for point in curve],
        marker="o",
    )
    axes.set(xlabel="strength of the attack", ylabel="accuracy", ylim=(0, 1))
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    return figure


def _log_metric(name: str, value: float, step: int | None = None) -> None:
    """Log a metric where the platform shows it: at the job."""
    client = get_authenticated_worker_client(LOGGER, "json")
    client.jobs.append_metric_by_id(
        job_id=os.environ["__JOB_ID"],
        metric_name=name,
        metric_value=value,
        metric_step=step,
    )
