"""``dioptra-worker jobs cancel``."""

from __future__ import annotations

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    job_id,
    print_json,
)

_CODES = """\b
Exit codes:
  0  the job is cancelled: it has failed
  1  it had ended, or has now finished before it could be stopped, or its
     worker does not answer; or there is no such job, or no answer
  2  the command line or the environment is not usable
  3  the API refused the login
"""


@click.command(
    "cancel",
    epilog=epilog("dioptra-worker jobs cancel 17", codes=_CODES),
)
@job_id
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long its worker may take to stop it.",
)
@as_json
@command
def cancel_command(
    context: CommandContext, *, job_id: int, timeout: float, as_json: bool
) -> None:
    """End a job, whether it waits or runs.

    One that waits is taken out of its queue, one that runs is stopped by its worker;
    either has failed then, and its log says who cancelled it. It needs RQ_REDIS_URI,
    the address of the queues.
    """
    with context.actions(seconds=timeout) as actions:
        status = actions.cancel(job_id)
    if as_json:
        print_json({"id": job_id, "status": status})
    elif status == "failed":
        click.echo(f"job {job_id} is cancelled")
    else:
        click.echo(f"job {job_id} has {status} before it could be stopped")
    if status != "failed":
        raise click.exceptions.Exit(ExitCode.FAILED)
