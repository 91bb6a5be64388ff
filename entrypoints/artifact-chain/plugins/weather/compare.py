"""What the second job does with the artifacts of the first."""

from typing import Any

import structlog
from dioptra import pyplugs

LOGGER = structlog.get_logger()


@pyplugs.register
def summarize(readings: list[dict[str, Any]], by_day: list[dict[str, Any]]) -> str:
    """Summarize readings, after a check that both artifacts say the same.

    Args:
        readings: The rows of the file.
        by_day: The rows of all the tables in the folder.

    Returns:
        One sentence.

    Raises:
        ValueError: The two artifacts do not belong together.
    """
    if readings != by_day:
        raise ValueError(
            f"the file has {len(readings)} readings and the folder {len(by_day)}, and "
            "they are not the same: give this job two artifacts of one job"
        )
    warmest = max(readings, key=lambda reading: reading["celsius"])
    days = len({reading["day"] for reading in readings})
    summary = (
        f"{len(readings)} readings of {days} days; the warmest was "
        f"{warmest['celsius']} degrees on day {warmest['day']}."
    )
    LOGGER.info("summarized", readings=len(readings), days=days)
    print(summary)
    return summary
