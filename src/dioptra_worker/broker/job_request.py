"""What a queue entry asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What the queue asks for.

    Attributes:
        job_id: The job's id in the API.
        experiment_id: Its experiment's.
        timeout: Seconds that the job may run; None is without a limit.
        worker: The worker's name, for the log.
        attempt: How often the job has been started, this time included.
    """

    job_id: int
    experiment_id: int
    timeout: float | None
    worker: str
    attempt: int = 1
