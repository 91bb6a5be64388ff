"""An eye on a running job's status in the REST API: it may be deleted, or reset."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from dioptra_worker.common.stop import JOB_DELETED, status_set
from dioptra_worker.daemon.health.snapshot import API
from dioptra_worker.errors import NotFound, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.daemon.job.context import AttemptContext

log = logging.getLogger("dioptra_worker.status_watch")


@contextlib.contextmanager
def watching_status(
    job_id: int, context: AttemptContext, *, stop: JobStop
) -> Iterator[None]:
    """Look at a job's status from a thread until the end of the block.

    Args:
        job_id: The job, which is started.
        context: The API, and how often to ask it.
        stop: Asked when the job is not wanted any more.
    """
    done = threading.Event()

    def work() -> None:
        while not done.wait(context.settings.status_poll):
            try:
                with context.health.contacting(API):
                    status = context.api.job(job_id).status
            except NotFound:
                stop.request(JOB_DELETED)
            except ServiceError as error:
                log.debug("the status of job %d is not known now: %s", job_id, error)
            else:
                if status != "started":
                    stop.request(status_set(status))

    thread = threading.Thread(target=work, name="dioptra-status", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        # It may wait for an API that hangs; what it finds then comes too late.
        thread.join(timeout=stop.spare(1.0))
