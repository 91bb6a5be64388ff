"""Tasks that fail: the ways in which jobs really end, on purpose."""

import os
import signal
import sys

import structlog
from dioptra import pyplugs

LOGGER = structlog.get_logger()


@pyplugs.register
def prepare() -> list[float]:
    """Return readings, of which there are none: the mistake is made here."""
    readings: list[float] = []
    LOGGER.info("prepared readings", count=len(readings))
    return readings


@pyplugs.register
def average(readings: list[float], how: str) -> float:
    """Take the average, or end the process first.

    Args:
        readings: The values.
        how: ``exception`` divides by zero; ``exit`` leaves Python as a careless
            library does; ``killed`` dies as a process does that has used up the
            machine's memory.

    Returns:
        The average: but that never happens.
    """
    print(f"about to fail: {how}")
    if how == "exit":
        sys.exit(0)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(readings) / len(readings)
