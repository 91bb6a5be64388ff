"""Which jobs are chosen, in an address and in a form: a field for each; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_JOBS = 100
"""Jobs of one choice; a page of the list has fewer."""
_FIELD = re.compile(r"job-([1-9][0-9]{0,17})")


def field(job_id: int) -> str:
    """The name of the field that has a job chosen."""
    return f"job-{job_id}"


def fields(job_ids: Iterable[int]) -> dict[str, str]:
    """The fields that have jobs chosen."""
    return {field(job_id): "on" for job_id in job_ids}


def chosen(given: Mapping[str, str]) -> tuple[int, ...]:
    """The jobs that are chosen, the oldest first."""
    found = {int(name[1]) for name in map(_FIELD.fullmatch, given) if name}
    return tuple(sorted(found)[:MAX_JOBS])


def jobs_in_words(count: int) -> str:
    """So many jobs."""
    return "1 job" if count == 1 else f"{count} jobs"
