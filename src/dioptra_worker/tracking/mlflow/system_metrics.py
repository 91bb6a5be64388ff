"""System metrics of runs, which MLflow logs if a variable says so and psutil is there.

Without that package MLflow begins no run at all: what a machine's processors do is then
not logged, and nothing else is lost.
"""

from __future__ import annotations

import importlib.util

import mlflow
from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

WAY_OUT = "install dioptra-worker[system-metrics], or unset the variable"


def missing_package() -> str | None:
    """Why no system metrics can be logged, though they are wanted; None if they can.

    Raises:
        ValueError: The variable is neither true nor false.
    """
    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
        return None
    if importlib.util.find_spec("psutil") is not None:
        return None
    return f"{MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.name} is set, and psutil is missing"


def turn_off() -> None:
    """Have MLflow log none, also of the runs that plugins begin."""
    mlflow.disable_system_metrics_logging()
