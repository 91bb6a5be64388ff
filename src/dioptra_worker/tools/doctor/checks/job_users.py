"""Who jobs run as, and so what of the worker and of each other is closed to them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from dioptra_worker import job_environment
from dioptra_worker.common.files.trusted_folder import make_private
from dioptra_worker.supervision.job_users.choice import choose_job_users
from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.settings import Settings

NAME = "jobs' users"
TIMEOUT = 30.0
"""Seconds: it starts programs on this machine, which may be busy."""
_FIX = "mend that, or set DIOPTRA_WORKER_JOB_USERS=none"


def check(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Try whether jobs can have users of their own.

    Args:
        settings: Say whether they are to.
        environment: The worker's.
    """
    try:
        make_private(settings.work_dir)
    except OSError as error:
        yield warn(NAME, f"not tried: {error}", "see the work folder")
        return
    choice = choose_job_users(
        settings.job_users,
        slots=settings.concurrency,
        work_dir=settings.work_dir,
        environment=job_environment.for_runners(settings, environment),
        private=job_environment.private_files(settings, environment),
    )
    if choice.users is not None:
        yield ok(
            NAME,
            "jobs run as users of their own, one for each slot: the worker's files,"
            " memory and processes are closed to them, and other jobs'",
        )
        return
    memory = "closed to them" if sys.platform.startswith("linux") else "open, too"
    words = (
        f"jobs run as the worker's own user {os.geteuid()}, since {choice.reason}: its"
        f" files and other jobs are open to them, its memory and environment {memory}"
    )
    if not choice.is_surprise:
        yield ok(NAME, words)
    elif settings.job_users == "auto":
        yield warn(NAME, words, _FIX)
    else:
        yield fail(NAME, f"jobs cannot have them, since {choice.reason}", _FIX)
