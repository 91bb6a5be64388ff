"""Says now and then how far a long transfer is."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from dioptra_worker.common.humanize import size

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("dioptra_worker.tracking")

EVERY = 10.0
"""Seconds between two lines about one transfer; a shorter one has none."""


class Progress:
    """Counts the bytes of one transfer; any thread may add to it."""

    def __init__(
        self,
        what: str,
        *,
        total: int | None,
        every: float = EVERY,
        tell: Callable[[str], object] = log.info,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count.

        Args:
            what: The transfer, such as ``"storing 'model'"``.
            total: Bytes that there are, if that is known.
            every: Seconds between two lines.
            tell: Takes a line.
            clock: Says how late it is, in seconds.
        """
        self._what = what
        self._total = total
        self._every = every
        self._tell = tell
        self._lock = threading.Lock()
        self._done = 0
        self._clock = clock
        self._began = self._said = clock()

    def add(self, count: int) -> None:
        """Count bytes that were transferred, and say so when it is time."""
        with self._lock:
            self._done += count
            now = self._clock()
            if now - self._said < self._every:
                return
            self._said = now
            done = self._done
        of = "" if self._total is None else f" of {size(self._total)}"
        rate = done / (now - self._began)
        self._tell(f"{self._what}: {size(done)}{of}, {size(rate)}/s")
