"""Waits until something is so, but not for ever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 90.0
"""Seconds that anything may take before a test gives up; none is meant to be near."""


def until(
    condition: Callable[[], object],
    *,
    seconds: float = PATIENCE,
    says: Callable[[], str] = str,
) -> None:
    """Wait until something is so.

    Args:
        condition: What.
        seconds: How long at most.
        says: What to tell when it never was.
    """
    deadline = time.monotonic() + seconds
    for pause in pauses():
        if condition():
            return
        assert time.monotonic() < deadline, says()
        time.sleep(pause)


def pauses(first: float = 0.02, longest: float = 0.25) -> Iterator[float]:
    """Seconds between two looks: short ones at first, so that no look comes late.

    Looking costs what is looked at the time in which it could do something, such as
    the REST API, and other tests the processor.
    """
    pause = min(first, longest)
    while True:
        yield pause
        pause = min(longest, 1.4 * pause)
