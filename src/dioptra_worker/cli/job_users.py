"""Who jobs run as, decided at a worker's start and said where it is a surprise."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from dioptra_worker import settings as settings_module
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.supervision.job_user_choice import choose_job_users

if TYPE_CHECKING:
    from dioptra_worker.settings import Settings
    from dioptra_worker.supervision.job_users import JobUsers


def decide_job_users(settings: Settings, *, slots: int) -> JobUsers | None:
    """Decide who jobs run as; end this program where the settings cannot be obeyed.

    Args:
        settings: The worker's.
        slots: How many jobs run at a time.

    Returns:
        Their users; None for the worker's own.
    """
    choice = choose_job_users(
        settings.job_users,
        slots=slots,
        work_dir=settings.work_dir,
        environment=settings_module.for_runners(settings, os.environ),
    )
    if choice.is_surprise:
        words = f"jobs cannot run as users of their own, since {choice.reason}"
        if settings.job_users != "auto":
            click.echo(f"DIOPTRA_WORKER_JOB_USERS: {words}", err=True)
            sys.exit(ExitCode.USAGE)
        click.echo(
            f"{words}. They run as the worker's own user and can read its files; see"
            " DIOPTRA_WORKER_JOB_USERS",
            err=True,
        )
    return choice.users
