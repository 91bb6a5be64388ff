"""Try again while a service is unavailable: capped back-off with jitter."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

FIRST_DELAY = 0.2
MAX_DELAY = 10.0
"""Seconds before the first and before any later try, at most."""
_RANDOM = random.SystemRandom()
"""Not Python's own generator: in a runner that is the job's, and an outage is to change
none of its numbers."""
FOREVER = 10 * 365 * 24 * 3600.0
"""Seconds for who does not give up."""


def backoff() -> Iterator[float]:
    """Endless delays in seconds before the next try: doubling, capped, jittered.

    Yields:
        Between half and all of the next step, so that many workers that lost the
        same service do not come back in step.
    """
    step = FIRST_DELAY
    while True:
        yield _RANDOM.uniform(step / 2, step)
        step = min(step * 2, MAX_DELAY)


def retry_until_available(
    call: Callable[[], T],
    *,
    seconds: float,
    sleep: Callable[[float], object] = time.sleep,
    on_wait: Callable[[ServiceUnavailable], None] | None = None,
    on_back: Callable[[ServiceUnavailable, float], object] | None = None,
) -> T:
    """Call until it works, a refusal comes, or the time is up.

    Whoever passes a call that must not happen twice makes that sure itself: a call
    whose answer was lost has perhaps happened, and looks like one that has not.

    Args:
        call: What to do; only `ServiceUnavailable` is tried again.
        seconds: How long in all; the last error is raised after that.
        sleep: Waits; may raise to give up early.
        on_wait: Told once, with the first error, that waiting begins.
        on_back: Told once, with that error and the seconds that it took, that waiting
            is over.

    Returns:
        What *call* returned.

    Raises:
        ServiceUnavailable: When the service did not come back in time.
    """
    deadline = time.monotonic() + seconds
    first: ServiceUnavailable | None = None
    since = 0.0
    for delay in backoff():
        try:
            done = call()
        except ServiceUnavailable as error:
            wait = max(delay, error.retry_after or 0.0)
            if time.monotonic() + wait > deadline:
                raise
            if first is None:
                first, since = error, time.monotonic()
                if on_wait is not None:
                    on_wait(error)
            sleep(wait)
        else:
            if first is not None and on_back is not None:
                on_back(first, time.monotonic() - since)
            return done
    raise AssertionError("backoff() is endless")  # pragma: no cover
