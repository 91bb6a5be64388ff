"""Waits until something is so, but not for ever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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
    while not condition():
        assert time.monotonic() < deadline, says()
        time.sleep(0.02)
