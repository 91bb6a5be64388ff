"""Logs once that a service is waited for, and once that it is back."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from dioptra_worker.common.text.humanize import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.errors import ServiceUnavailable
    from dioptra_worker.protocol.messages import Severity

log = logging.getLogger("dioptra_worker.outages")


class OutageLog:
    """The outages that one place has reported; any thread may call its methods.

    Of several calls that wait for the same service side by side, the first reports
    that it is waited for, and the first that goes on reports that it is back.
    """

    def __init__(
        self, log_to_job: Callable[[Severity, str], None] | None = None
    ) -> None:
        """Begin with none.

        Args:
            log_to_job: Puts a severity and a text into a job's log as well.
        """
        self._log_to_job = log_to_job
        self._away: set[str] = set()
        self._lock = threading.Lock()

    def on_wait(self, error: ServiceUnavailable) -> None:
        """A call begins to wait for a service."""
        with self._lock:
            if error.service in self._away:
                return
            self._away.add(error.service)
        self._report("WARNING", f"waiting: {error}", "service-away", error.service)

    def on_back(self, error: ServiceUnavailable, seconds: float) -> None:
        """A call goes on; *error* is what it began to wait with."""
        with self._lock:
            if error.service not in self._away:
                return
            self._away.remove(error.service)
        words = f"{error.service} is back after {duration(seconds)}"
        self._report("INFO", words, "service-back", error.service)

    def _report(self, severity: Severity, words: str, event: str, service: str) -> None:
        extra = {"event": event, "service": service}
        log.log(logging.getLevelNamesMapping()[severity], "%s", words, extra=extra)
        if self._log_to_job is not None:
            self._log_to_job(severity, words)
