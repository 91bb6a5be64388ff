"""Logs now and then how far a long transfer is."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from dioptra_worker.common.text.humanize import size

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("dioptra_worker.tracking")

PROGRESS_INTERVAL = 10.0
"""Seconds between two lines about one transfer; a shorter one has none."""


class Progress:
    """Counts the bytes of one transfer; any thread may add to it."""

    def __init__(
        self,
        what: str,
        *,
        total: int | None,
        interval: float = PROGRESS_INTERVAL,
        log_line: Callable[[str], object] = log.info,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count.

        Args:
            what: The transfer, such as ``"storing 'model'"``.
            total: Bytes that there are, if that is known.
            interval: Seconds between two lines.
            log_line: Takes a line.
            clock: Says how late it is, in seconds.
        """
        self._what = what
        self._total = total
        self._interval = interval
        self._log = log_line
        self._lock = threading.Lock()
        self._done = 0
        self._clock = clock
        self._began_at = self._logged_at = clock()

    def add(self, count: int) -> None:
        """Count bytes that were transferred, and log that when it is time."""
        with self._lock:
            self._done += count
            now = self._clock()
            if now - self._logged_at < self._interval:
                return
            self._logged_at = now
            done = self._done
        of = "" if self._total is None else f" of {size(self._total)}"
        rate = done / (now - self._began_at)
        self._log(f"{self._what}: {size(done)}{of}, {size(rate)}/s")
