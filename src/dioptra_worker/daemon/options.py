"""What the command line asks of a daemon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dioptra_worker.daemon.wait_for_ports import Address


@dataclass(frozen=True, kw_only=True)
class DaemonOptions:
    """What the command line asks of the daemon.

    Attributes:
        queues: The queues to serve, the most urgent first.
        name: The worker's name; None makes one up.
        burst: End when all queues are empty.
        max_jobs: End after this many jobs.
        max_idle: End after this many seconds without a job.
        result_ttl: Seconds that RQ keeps the record of a finished job.
        wait_for: Addresses that are to open before anything else is asked.
    """

    queues: tuple[str, ...]
    name: str | None = None
    burst: bool = False
    max_jobs: int | None = None
    max_idle: float | None = None
    result_ttl: int = 500
    wait_for: tuple[Address, ...] = ()
