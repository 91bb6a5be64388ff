"""What becomes of a job whose worker was lost: another attempt, or its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dioptra_worker.broker.records import PendingStatus
    from dioptra_worker.protocol.run_rules import RunStatus
    from dioptra_worker.settings import Settings


@dataclass(frozen=True, kw_only=True)
class AfterLoss:
    """What is decided.

    Attributes:
        status: The end that the job is told; empty when it is run again.
        run_status: What the MLflow run that it has is closed with, if it is.
        words: For the job's log.
    """

    status: str = ""
    run_status: RunStatus | None = None
    words: str = ""


def end_of(pending: PendingStatus) -> AfterLoss:
    """Decide about a job whose end is known, and whose worker could not deliver it."""
    return AfterLoss(
        status=pending.status,
        words=pending.reason
        or "its worker was lost before it could deliver that the job finished",
    )


def next_attempt(attempt: int, *, has_run: bool, settings: Settings) -> AfterLoss:
    """Decide about a job that is started, that nobody runs, and whose end is not known.

    Args:
        attempt: Which attempt at it this would be, from 1.
        has_run: Whether it has an MLflow run.
        settings: Whether, and how often, such jobs are run again.
    """
    if attempt == 1 and not has_run:
        # Nobody ran it: it was set by a request of ours whose answer was lost.
        return AfterLoss()
    if settings.on_interruption != "requeue" or attempt > settings.max_attempts:
        times = "" if attempt <= 2 else f" {attempt - 1} times"
        return AfterLoss(
            status="failed",
            run_status="FAILED",
            words=f"its worker was lost{times} while the job ran: it was killed, ran"
            " out of memory, or its machine went down",
        )
    return AfterLoss(
        run_status="KILLED",
        words="the worker that ran this job was lost; this is attempt"
        f" {attempt} of at most {settings.max_attempts}",
    )
