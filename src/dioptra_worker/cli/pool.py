"""``--concurrency``: one command line becomes those of several slots."""

from __future__ import annotations

import logging
import os
import uuid
from typing import TYPE_CHECKING

from dioptra_worker import job_environment
from dioptra_worker.cli.certificates import log_unverified
from dioptra_worker.cli.job_users import decide_job_users, warn_of
from dioptra_worker.common import log_setup
from dioptra_worker.common.processes.interpreter import python
from dioptra_worker.daemon.learning.preloading import bound
from dioptra_worker.daemon.pool.gpus import assign, visible
from dioptra_worker.daemon.pool.pool import WorkerPool
from dioptra_worker.daemon.pool.slot import SlotSpec
from dioptra_worker.supervision.forkserver.start import ForkserverProgram
from dioptra_worker.supervision.launcher import choose_mode
from dioptra_worker.tracking.backend import SERVER_MODULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.daemon.options import DaemonOptions
    from dioptra_worker.settings import Settings

log = logging.getLogger("dioptra_worker.daemon")


def run_pool(
    settings: Settings, options: DaemonOptions, given: Mapping[str, str]
) -> int:
    """Run a worker's slots until all have ended.

    Args:
        settings: The worker's settings.
        options: What the command line asks for.
        given: Variables that the command line overrides.

    Returns:
        The worst of the slots' exit codes.
    """
    log_setup.to_stderr(
        as_json=settings.log_as_json,
        level=settings.log_level,
        secrets=settings.secrets(),
    )
    log_unverified(settings)
    for sentence in options.unused:
        log.info("%s", sentence)
    share = choose_mode(settings.isolation) == "fork" and settings.warm
    choice = decide_job_users(settings, slots=settings.concurrency)
    warn_of(choice)
    users = choice.users if share else None
    if choice.users is None:  # slots that would decide for themselves know of one only
        given = {**given, "DIOPTRA_WORKER_JOB_USERS": "none"}
    forkservers = ForkserverProgram(
        mode="shared" if settings.warm else "cold",
        preload=(*SERVER_MODULES, *settings.preload_names),
        grace=settings.kill_grace,
        environment=job_environment.for_runners(settings, os.environ),
        users=users,
    )
    name = options.name or uuid.uuid4().hex
    specs = [
        SlotSpec(
            name=f"{name}-{number}",
            program=(*python(), "-m", "dioptra_worker.cli.start"),
            options=_arguments(options, f"{name}-{number}", share=share),
            environment=_environment(settings, given, number, gpus),
        )
        for number, gpus in enumerate(_gpus(settings), 1)
    ]
    return WorkerPool(specs, forkservers, users=users).run()


def _gpus(settings: Settings) -> list[list[str] | None]:
    """Each slot's GPUs; None where it sees what there is."""
    if settings.gpus == "all":
        return [None] * settings.concurrency
    found = visible(settings.gpus, given=os.environ.get("CUDA_VISIBLE_DEVICES"))
    return [gpus or None for gpus in assign(found, settings.concurrency)]


def _arguments(options: DaemonOptions, name: str, *, share: bool) -> tuple[str, ...]:
    limits: list[str] = ["--burst"] if options.burst else []
    if options.max_jobs is not None:
        limits += ["--max-jobs", str(options.max_jobs)]
    if options.max_idle is not None:
        limits += ["--max-idle-time", str(options.max_idle)]
    limits += ["--dequeue-strategy", options.strategy]
    return (
        *("--name", name, "--results-ttl", str(options.result_ttl), *limits),
        *(["--share-forkserver"] if share else []),
        *("--", *options.queues),
    )


def _environment(
    settings: Settings, given: Mapping[str, str], number: int, gpus: list[str] | None
) -> dict[str, str]:
    own = {
        "DIOPTRA_WORKER_CONCURRENCY": "1",
        # Each slot has a second fork server of its own: together they keep the bound.
        "DIOPTRA_WORKER_PRELOAD_MEMORY": str(
            bound(settings.preload_memory, slots=settings.concurrency)
        ),
    }
    if settings.health_port:
        own["DIOPTRA_WORKER_HEALTH_PORT"] = str(settings.health_port + number - 1)
    if gpus is not None:
        own["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    return {**os.environ, **given, **own}
