"""Tasks that load one part of a worker each, and measure themselves where they must."""

import time
from typing import Any

import mlflow
import structlog
from dioptra import pyplugs

LOGGER = structlog.get_logger()


@pyplugs.register
def write_lines(count: int) -> None:
    """Write lines to the job's log, and measure how long that takes the task.

    Args:
        count: How many lines.
    """
    began = time.perf_counter()
    for number in range(count):
        LOGGER.info(f"line {number}.")
    mlflow.log_metric("seconds", time.perf_counter() - began)


@pyplugs.register
def hold(seconds: float) -> None:
    """Run for a while.

    Args:
        seconds: How long.
    """
    time.sleep(seconds)


@pyplugs.register
def describe(files: int, size: int) -> dict[str, int]:
    """Say what is to be written as an artifact.

    Args:
        files: How many files.
        size: The bytes of each.

    Returns:
        Both.
    """
    return {"files": files, "size": size}


@pyplugs.register
def receive(contents: Any) -> None:
    """Take what was read of an artifact.

    Args:
        contents: Anything.
    """
