"""Puts a daemon together, the fork server first, and runs it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from typing import TYPE_CHECKING

import click

from dioptra_worker import job_environment
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.garbage import uncollected
from dioptra_worker.common.text.printable import spelt_out
from dioptra_worker.errors import RunnerError, ServiceRefused, SettingsError

if TYPE_CHECKING:
    from dioptra_worker.daemon.options import DaemonOptions
    from dioptra_worker.evidence.signing import Signer
    from dioptra_worker.settings import Settings, Times
    from dioptra_worker.supervision.job_users.assignment import JobUsers
    from dioptra_worker.supervision.job_users.choice import Choice
    from dioptra_worker.supervision.launcher import Launcher

WARN_AFTER = 60.0
"""Seconds after which the quick checks are made without a fork server."""


def serve(
    settings: Settings,
    options: DaemonOptions,
    times: Times,
    *,
    signer: Signer | None = None,
    pool: int | None = None,
    is_slot: bool = False,
) -> ExitCode:
    """Run the daemon and translate how it ended.

    Args:
        settings: The daemon's settings.
        options: What the command line asks for.
        times: What tests have shortened.
        signer: Signs the manifests of jobs; None signs none.
        pool: The socket to the pool whose fork server this daemon shares.
        is_slot: Whether it is one of a pool, which has told what holds for all.
    """
    from dioptra_worker.cli.job_users import decide_job_users

    choice = None
    if pool is None:  # which else says who they are
        choice = decide_job_users(settings, slots=1)
    launcher = _launcher(settings, pool, None if choice is None else choice.users)
    with launcher:
        # The fork server imports MLflow while we import what the daemon needs.
        with contextlib.suppress(RunnerError):  # the daemon tries again, and says it
            launcher.start()
        return _serve(
            settings,
            options,
            times,
            launcher,
            choice,
            signer=signer,
            is_slot=is_slot,
        )


def _serve(
    settings: Settings,
    options: DaemonOptions,
    times: Times,
    launcher: Launcher,
    choice: Choice | None,
    *,
    signer: Signer | None,
    is_slot: bool,
) -> ExitCode:
    with uncollected():
        from dioptra_worker.api.client import DioptraApi
        from dioptra_worker.cli.certificates import log_unverified
        from dioptra_worker.common import log_setup
        from dioptra_worker.daemon.daemon import Daemon
    mask = log_setup.to_stderr(
        as_json=settings.log_as_json,
        level=settings.log_level,
        secrets=settings.secrets(),
    )
    if not is_slot:
        log_unverified(settings)
    threading.Thread(
        target=_warn, args=[settings, launcher, choice], daemon=True
    ).start()
    api = DioptraApi(
        url=settings.api_url,
        username=settings.username,
        password=settings.password.get_secret_value(),
        timeout=settings.api_timeout,
    )
    try:
        with api:
            daemon = Daemon(
                settings,
                options,
                api=api,
                launcher=launcher,
                mask=mask,
                times=times,
                signer=signer,
            )
            daemon.run()
    except SettingsError as error:
        click.echo(spelt_out(str(error)), err=True)
        return ExitCode.USAGE
    except ServiceRefused as error:
        click.echo(spelt_out(str(error)), err=True)
        return ExitCode.REFUSED
    return ExitCode.OK


def _launcher(settings: Settings, pool: int | None, users: JobUsers | None) -> Launcher:
    from dioptra_worker.supervision.forkserver.start import PoolForkservers
    from dioptra_worker.supervision.launcher import Launcher, choose_mode

    environment = job_environment.for_runners(settings, os.environ)
    gpus = environment.get("CUDA_VISIBLE_DEVICES")
    return Launcher(
        mode=choose_mode(settings.isolation) if settings.warm else "cold",
        preload=settings.preload_names,
        grace=settings.kill_grace,
        environment=environment,
        starter=None if pool is None else PoolForkservers(socket.socket(fileno=pool)),
        variables={} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus},
        adopts_orphans=pool is None,
        users=users,
    )


def _warn(settings: Settings, launcher: Launcher, choice: Choice | None) -> None:
    """Log who jobs are if one would not expect it, and what the doctor finds quickly.

    That is once the daemon has started: one that cannot start says why, and no more.
    """
    ready = False
    with contextlib.suppress(RunnerError):
        ready = launcher.wait_until_ready(WARN_AFTER)  # which needs the processor more
    from dioptra_worker.cli.job_users import warn_of
    from dioptra_worker.tools import doctor

    if choice is not None and ready:
        warn_of(choice)
    log = logging.getLogger("dioptra_worker.daemon")
    for finding in doctor.brief(settings, os.environ):
        log.warning("%s", finding)
