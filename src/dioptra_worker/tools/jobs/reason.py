"""Why a job has failed, from the end of its log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dioptra_worker.protocol.messages import OWN_LOGGER
from dioptra_worker.tools.jobs.job_log import LogSections

if TYPE_CHECKING:
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.job_row import JobRow

RECORDS = 20
"""Of a log's end: its last line is the worker's, unless another worker ran the job."""
_ENDS = re.compile(r"the job (?:failed|was stopped): ", re.IGNORECASE)
_BAD = {"ERROR", "CRITICAL"}


def read_reason(client: UserClient, job: JobRow) -> str:
    """Why a job has failed; empty if it has not, or nobody tells.

    Args:
        client: The API.
        job: The job.

    Raises:
        ServiceError: The API refused, or cannot be asked.
    """
    if job.status != "failed":
        return ""
    entries = list(LogSections().assign(client.log_end(job.id, records=RECORDS)))
    for entry in reversed(entries):
        found = _ENDS.match(entry.text)
        if entry.logger == OWN_LOGGER and found is not None:
            return entry.text[found.end() :].strip()
    bad = [entry.text for entry in entries if entry.severity in _BAD]
    lines = bad[-1].strip().splitlines() if bad else []
    return lines[-1].strip() if lines else ""  # of a traceback, what was raised
