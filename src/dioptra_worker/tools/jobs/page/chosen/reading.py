"""Reads several jobs side by side; one that is gone is told, and keeps no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from dioptra_worker.errors import NotFound
from dioptra_worker.tools.jobs.job_row import JobRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dioptra_worker.api.user_client import UserClient

T = TypeVar("T")
AT_ONCE = 8
"""Jobs that are asked for, or that something is done to, at a time."""


def of_each(job_ids: Iterable[int], call: Callable[[int], T]) -> list[T]:
    """Call a function for each job, for several at a time; what it says, in order."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(call, job_ids))


def read_jobs(
    client: UserClient, job_ids: Iterable[int]
) -> tuple[list[JobRow], list[int]]:
    """Read jobs.

    Returns:
        Those that there are, and the ids of those that there are not.

    Raises:
        ServiceError: The API refused, or cannot be asked.
    """
    ids = tuple(job_ids)

    def read(job_id: int) -> JobRow | None:
        try:
            return JobRow.read(client.job(job_id))
        except NotFound:
            return None

    found = of_each(ids, read)
    there = [job for job in found if job is not None]
    gone = [id_ for id_, job in zip(ids, found, strict=True) if job is None]
    return there, gone
