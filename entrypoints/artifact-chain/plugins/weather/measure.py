"""Where the readings come from."""

import random
from typing import Any

import structlog
from dioptra import pyplugs

LOGGER = structlog.get_logger()

HOURS = (0, 6, 12, 18)


@pyplugs.register
def measure(days: int, seed: int = 1) -> list[dict[str, Any]]:
    """Measure the temperature four times a day.

    Args:
        days: For how many days.
        seed: The same seed gives the same weather.

    Returns:
        One row per reading, with ``day``, ``hour`` and ``celsius``.
    """
    weather = random.Random(seed)
    readings = [
        {"day": day, "hour": hour, "celsius": round(weather.gauss(12.0, 4.0), 1)}
        for day in range(1, days + 1)
        for hour in HOURS
    ]
    LOGGER.info("measured", days=days, readings=len(readings))
    return readings
