"""The variables by which a job's processes know the job and find the worker.

Apart from the messages, since it is imported by every process that a task starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dioptra_worker.protocol.messages import OutputStream

JOB_VARIABLE = "__JOB_ID"
"""The job's id, by the platform's contract."""
SOCKET_VARIABLE = "__JOB_SOCKET"
"""Where processes that a task starts find the worker."""
OUTPUT_VARIABLE = "__JOB_OUTPUT"
"""The job's log level, and which files are its streams, for the same."""

STREAMS: dict[OutputStream, int] = {"stdout": 1, "stderr": 2}
"""The descriptors of these streams."""
