"""What the second job does with the artifacts of the first."""

from typing import Any

import structlog
from dioptra import pyplugs

LOGGER = structlog.get_logger()


@pyplugs.register
def summarize(
    readings: list[dict[str, Any]], by_day: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Summarize readings, after a check that both artifacts say the same.

    Args:
        readings: The rows of the file.
        by_day: The rows of all the tables in the folder.

    Returns:
        One row per day, with ``day``, ``coldest`` and ``warmest``.

    Raises:
        ValueError: The two artifacts do not belong together.
    """
    if readings != by_day:
        raise ValueError(
            f"the file has {len(readings)} readings and the folder {len(by_day)}, and "
            "they are not the same: give this job two artifacts of one job"
        )
    summary = []
    for day in sorted({reading["day"] for reading in readings}):
        degrees = [row["celsius"] for row in readings if row["day"] == day]
        print(f"day {day}: {min(degrees)} to {max(degrees)} degrees")
        summary.append({"day": day, "coldest": min(degrees), "warmest": max(degrees)})
    LOGGER.info("summarized", readings=len(readings), days=len(summary))
    return summary
