"""Says which worker run a job belongs to, for its MLflow run and its artifacts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dioptra_worker import __version__
from dioptra_worker.provenance import Circumstances, tags
from dioptra_worker.provenance.run_tags import IN_MANIFEST, WORKER_RUN

if TYPE_CHECKING:
    from dioptra_worker.api.models import Job
    from dioptra_worker.protocol.messages import Plan
    from dioptra_worker.settings import Settings

log = logging.getLogger("dioptra_worker.stamping")


def run_tags(
    job: Job, plan: Plan, settings: Settings, *, worker: str, platform_version: str
) -> dict[str, str]:
    """The tags of a job's MLflow run; none when they cannot be made out.

    A job without a stamp is a job all the same, so nothing here fails one.

    Args:
        job: The job.
        plan: Its plan, with the typed values of its parameters.
        settings: The daemon's settings.
        worker: The daemon's name.
        platform_version: The platform's version, if it tells.
    """
    try:
        run = job.worker_run(
            plan.parameters, plan.defaults, data=settings.data_parameters
        )
        circumstances = Circumstances(
            user=job.user,
            queue=job.queue,
            worker=worker,
            worker_version=__version__,
            platform_version=platform_version,
            image=settings.image,
            revision=settings.revision,
        )
        found = tags(run, circumstances, defaults=plan.defaults)
    except Exception:
        log.warning("job %d has no stamp", job.id, exc_info=True)
        return {}
    if WORKER_RUN not in found:
        found[IN_MANIFEST] = f"{WORKER_RUN}: worker_run.document"
    return found
