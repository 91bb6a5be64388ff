"""``dioptra-worker jobs delete``."""

from __future__ import annotations

import click

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
  0  the job is deleted
  1  it waits or runs, there is no such job, no answer, or no consent
  2  the command line or the environment is not usable
  3  the API refused the login
"""


@click.command(
    "delete",
    epilog=epilog(
        "dioptra-worker jobs delete 17",
        "dioptra-worker jobs delete --yes 17",
        codes=_CODES,
    ),
)
@job_id
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@command
def delete_command(
    context: CommandContext, *, job_id: int, yes: bool, as_json: bool
) -> None:
    """Delete a job that has ended: lists and commands show it no more.

    What it has stored stays in MLflow and the artifact store, and its artifacts stay
    inputs of others; `dioptra-worker worker-runs delete` deletes results.
    """
    from dioptra_worker.tools.jobs.control.deletion import deletable

    job = deletable(context.client, job_id)
    if not yes:
        click.confirm(f"Delete job {job.id} of {job.name!r}?", abort=True, err=True)
    context.client.delete_job(job_id)
    if as_json:
        print_json({"id": job_id, "deleted": True})
    else:
        click.echo(f"job {job_id} is deleted")
