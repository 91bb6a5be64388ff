"""What the command line asks of a daemon."""

from __future__ import annotations

from dataclasses import dataclass


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
        strategy: Which queue is looked at first: ``default``, ``round_robin`` or
            ``random``; see `dioptra_worker.broker.rq.rq_worker`.
        unused: Sentences about what was given and changes nothing, for the log.
    """

    queues: tuple[str, ...]
    name: str | None = None
    burst: bool = False
    max_jobs: int | None = None
    max_idle: float | None = None
    result_ttl: int = 500
    strategy: str = "default"
    unused: tuple[str, ...] = ()
