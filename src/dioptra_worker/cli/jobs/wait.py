"""``dioptra-worker jobs wait``."""

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
  0  the job finished
  1  it failed, or did not end in time; or there is no such job, or no answer
  2  the command line or the environment is not usable
  3  the API refused the login
"""


@click.command(
    "wait",
    epilog=epilog(
        "dioptra-worker jobs wait 17",
        "dioptra-worker jobs wait --timeout 600 17 && ./use-its-results",
        codes=_CODES,
    ),
)
@job_id
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long at most.  [default: however long it takes]",
)
@as_json
@command
def wait_command(
    context: CommandContext, *, job_id: int, timeout: float | None, as_json: bool
) -> None:
    """Wait until a job has ended; an API that is away is waited for.

    While it is queued the reason is told: since when, behind how many others, and who
    listens there.
    """
    status = context.wait(job_id, timeout)
    if as_json:
        print_json({"id": job_id, "status": status})
    else:
        click.echo(f"job {job_id} has {status}")
    if status != "finished":
        raise click.exceptions.Exit(ExitCode.FAILED)
