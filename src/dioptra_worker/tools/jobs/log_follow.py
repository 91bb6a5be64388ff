"""Reads a log while it grows, until the job has ended and all of it is there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dioptra_worker.common.network.backoff import FOREVER, retry_until_available
from dioptra_worker.tools.jobs.job_log import LogSections
from dioptra_worker.tools.jobs.job_row import JobRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.errors import ServiceUnavailable
    from dioptra_worker.tools.jobs.job_log import Entry

POLL_INTERVAL = 1.0
"""Seconds between two looks at a log."""


def read(client: UserClient, job_id: int) -> list[Entry]:
    """Read a job's log as it is now.

    Raises:
        NotFound: There is no such job.
        ServiceError: The API refused, or cannot be asked.
    """
    client.job(job_id)  # of a log alone the API does not say that there is no job
    return list(LogSections().assign(client.log(job_id)))


def follow(
    client: UserClient,
    job_id: int,
    *,
    on_wait: Callable[[ServiceUnavailable], None] = lambda _error: None,
    on_end: Callable[[str], None] = lambda _status: None,
    on_look: Callable[[JobRow], object] = lambda _job: None,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Entry]:
    """Yield a job's log, what is there and then what comes, until the job has ended.

    An API that is away is waited for, however long.

    Args:
        client: The API.
        job_id: The job.
        on_wait: Told once for each time that the API is away.
        on_end: Told the status in the end.
        on_look: Told of the job as it is, again and again.
        sleep: Waits; may raise to give up.

    Raises:
        NotFound: There is no such job, or no more.
        ServiceRefused: The API refuses.
    """
    sections = LogSections()
    count = 0
    while True:
        # In this order: a status that is final was told after the last record.
        job = retry_until_available(
            lambda: JobRow.read(client.job(job_id)),
            seconds=FOREVER,
            sleep=sleep,
            on_wait=on_wait,
        )
        lines = retry_until_available(
            lambda start=count: client.log(job_id, start=start),  # type: ignore[misc]
            seconds=FOREVER,
            sleep=sleep,
            on_wait=on_wait,
        )
        count += len(lines)
        yield from sections.assign(lines)
        if job.has_ended:
            on_end(job.status)
            return
        on_look(job)
        sleep(POLL_INTERVAL)
