"""What a queue entry asks for; entries are read that nobody vouches for.

No code is loaded to look at one.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rq.exceptions import DeserializationError

from dioptra_worker.broker.rq import plain_pickle
from dioptra_worker.broker.rq.plain_pickle import shown
from dioptra_worker.errors import PayloadError

if TYPE_CHECKING:
    from rq.job import Job

FUNCTION = "dioptra.rq.tasks.run_v1_dioptra_job"
"""The only function that a queue entry may name."""

DEFAULT_TIME_LIMIT = 24 * 3600.0
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What the queue asks for.

    Attributes:
        job_id: The job's id in the API.
        experiment_id: Its experiment's.
        time_limit: Seconds that the job may run; None is without a limit.
        worker: The worker's name, for the log.
        attempt: How often the job has been started, this time included.
        start_token: What tells this start from every other.
    """

    job_id: int
    experiment_id: int
    time_limit: float | None
    worker: str
    attempt: int = 1
    start_token: str = ""


class PlainSerializer:
    """RQ's pickle format, for plain values only: numbers, text, lists, mappings."""

    @staticmethod
    def dumps(value: object) -> bytes:
        """Pickle a value."""
        return pickle.dumps(value)

    @staticmethod
    def loads(data: bytes) -> Any:
        """Read a value; see `plain_pickle`.

        Raises:
            NotPlain: If it is no plain value, or too large.
        """
        return plain_pickle.loads(data)


def read_request(job: Job, *, worker: str) -> JobRequest:
    """What a queue entry asks for.

    Args:
        job: The entry as RQ fetched it, with `PlainSerializer`.
        worker: The worker's name.

    Returns:
        What it asks for.

    Raises:
        PayloadError: If it is not a Dioptra job.
    """
    try:
        function, kwargs = job.func_name, dict(job.kwargs)
        positional, instance = job.args, job.instance
    except (DeserializationError, TypeError, ValueError) as error:
        cause = error.__cause__ or error.__context__ or error
        raise PayloadError(f"it cannot be read: {cause}") from None
    if function != FUNCTION:
        raise PayloadError(f"it calls {shown(function)}; only {FUNCTION} may be called")
    if (
        instance is not None
        or positional
        or kwargs.keys() != {"job_id", "experiment_id"}
    ):
        raise PayloadError(
            "it must have the keywords job_id and experiment_id and nothing else, not"
            f" {shown(positional)} and {shown(kwargs)}"
        )
    return JobRequest(
        job_id=_identifier("job_id", kwargs["job_id"]),
        experiment_id=_identifier("experiment_id", kwargs["experiment_id"]),
        time_limit=_time_limit(job.timeout),
        worker=worker,
    )


def _identifier(name: str, value: object) -> int:
    if type(value) is not int or not 0 < value <= LARGEST_ID:
        raise PayloadError(
            f"{name} must be a positive whole number, not {shown(value)}"
        )
    return value


def _time_limit(seconds: float | None) -> float | None:
    """Seconds that a job may run; RQ says -1 for no limit, and nothing for 24 h."""
    if seconds is None:
        return DEFAULT_TIME_LIMIT
    return None if seconds < 0 else float(min(seconds, LARGEST_ID))
