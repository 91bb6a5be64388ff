"""Who jobs run as, decided at a worker's start."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from dioptra_worker import job_environment
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.supervision.job_users.choice import choose_job_users

if TYPE_CHECKING:
    from dioptra_worker.settings import Settings
    from dioptra_worker.supervision.job_users.choice import Choice

log = logging.getLogger("dioptra_worker.daemon")


def decide_job_users(settings: Settings, *, slots: int) -> Choice:
    """Decide who jobs run as; end this program where the settings cannot be obeyed.

    Args:
        settings: The worker's.
        slots: How many jobs run at a time.
    """
    choice = choose_job_users(
        settings.job_users,
        slots=slots,
        work_dir=settings.work_dir,
        environment=job_environment.for_runners(settings, os.environ),
        private=job_environment.private_files(settings, os.environ),
    )
    if choice.is_surprise and settings.job_users != "auto":
        click.echo(
            "DIOPTRA_WORKER_JOB_USERS: jobs cannot run as users of their own, since"
            f" {choice.reason}",
            err=True,
        )
        sys.exit(ExitCode.USAGE)
    return choice


def warn_of(choice: Choice) -> None:
    """Log that jobs have no users of their own where one would expect it."""
    if choice.is_surprise:
        log.warning(
            "jobs run as the worker's own user and can read its files, since %s (with"
            " DIOPTRA_WORKER_JOB_USERS=none that is so without this line)",
            choice.reason,
        )
