"""A table of square numbers."""

import time

import structlog
from dioptra import pyplugs
from tabulate import tabulate

LOGGER = structlog.get_logger()


@pyplugs.register
def print_squares(rows: int, seconds: float) -> None:
    """Print a table.

    Args:
        rows: How many numbers it has.
        seconds: How long each row takes.
    """
    table = []
    for number in range(1, rows + 1):
        time.sleep(seconds)
        table.append([number, number**2])
        LOGGER.info("squared", number=number, of=rows)
    print(tabulate(table, headers=["number", "square"], tablefmt="github"))
