"""Makes a job ours in the API, also one whose last worker was lost under it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dioptra_worker.api.patience import persist
from dioptra_worker.errors import NotFound, ServiceRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.daemon.ledger import Ledger, Pending
    from dioptra_worker.daemon.order import Order
    from dioptra_worker.settings import Settings

log = logging.getLogger("dioptra_worker.claim")

PATIENCE = 5.0
"""Seconds that an API which is away may take to be back before the job is put back."""

Kind = Literal["ours", "over", "gone", "lost"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Whether a job is ours.

    Attributes:
        kind: ``ours``; ``over`` when it has ended; ``gone`` when it was deleted;
            ``lost`` when it is ours only to be told its end: its workers were lost
            too often, or one was lost before it could deliver the end.
        status: The job's status, where it is over; what it has to become, where lost.
        words: For the job's log.
    """

    kind: Kind
    status: str = ""
    words: str = ""


def claim(
    order: Order,
    *,
    api: DioptraApi,
    ledger: Ledger,
    settings: Settings,
    close_run: Callable[[str, str], object],
) -> Claim:
    """Set a job to ``started``. Its lease must be ours, so nobody else runs it.

    Args:
        order: The job.
        api: Where to set it.
        ledger: Knows about earlier attempts.
        settings: What to do with a job whose worker was lost.
        close_run: Closes the MLflow run of an earlier attempt with a status.

    Returns:
        Whether it is ours.

    Raises:
        ServiceUnavailable: If the API or Redis is away; the job can be put back.
    """
    try:
        persist(lambda: _start(order, api), seconds=PATIENCE)
    except NotFound:
        return Claim(kind="gone", words="it was deleted before it could start")
    except ServiceRefused as error:
        status = persist(lambda: api.job(order.job_id).status, seconds=PATIENCE)
        if status != "started":
            return Claim(kind="over", status=status, words=str(error))
        return _interrupted(
            order, api=api, ledger=ledger, settings=settings, close_run=close_run
        )
    return Claim(kind="ours")


def _interrupted(
    order: Order,
    *,
    api: DioptraApi,
    ledger: Ledger,
    settings: Settings,
    close_run: Callable[[str, str], object],
) -> Claim:
    """Decide about a job that is started and that nobody runs."""
    job_id = order.job_id
    pending: Pending | None = ledger.pending(job_id)
    if pending is not None:
        return Claim(
            kind="lost",
            status=pending.status,
            words=pending.reason
            or "its worker was lost before it could deliver that the job finished",
        )
    run_id = api.mlflow_run(job_id)
    again = settings.on_interruption == "requeue"
    if not again or order.attempt > settings.max_attempts:
        if run_id is not None:
            close_run(run_id, "FAILED")
        times = "" if order.attempt == 2 else f" {order.attempt - 1} times"
        return Claim(
            kind="lost",
            status="failed",
            words=f"its worker was lost{times} while the job ran: it was killed, ran"
            " out of memory, or its machine went down",
        )
    if run_id is not None:
        close_run(run_id, "KILLED")
    api.set_status(order.experiment_id, job_id, "reset")
    persist(lambda: _start(order, api), seconds=PATIENCE)
    words = (
        f"the worker that ran this job was lost; this is attempt {order.attempt} of at"
        f" most {settings.max_attempts}"
    )
    return Claim(kind="ours", words=words)


def _start(order: Order, api: DioptraApi) -> None:
    api.set_status(order.experiment_id, order.job_id, "started")
