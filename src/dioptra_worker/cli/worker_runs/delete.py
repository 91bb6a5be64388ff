"""``dioptra-worker worker-runs delete``."""

from __future__ import annotations

import click

from dioptra_worker.cli.jobs.common import CommandContext, command, epilog
from dioptra_worker.common.text.printable import spelt_out


@click.command(
    "delete",
    epilog=epilog(
        "dioptra-worker worker-runs delete 465a8320",
        "dioptra-worker worker-runs delete --yes --force 465a8320",
    ),
)
@click.argument("worker_run", metavar="WORKER_RUN")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Delete also what is a version of a model.")
@command
def delete_command(
    context: CommandContext, *, worker_run: str, yes: bool, force: bool
) -> None:
    """Delete all results of WORKER_RUN: artifacts, and the record of its batch.

    Its jobs, their logs and their metrics stay: the REST API cannot delete metrics. A
    job that is to read a deleted artifact fails with a sentence that says so. To repeat
    it does no harm; what was cut short is completed.
    """
    from dioptra_worker.broker.batch_leases import STATES
    from dioptra_worker.tools.jobs.control.queues import has_queues
    from dioptra_worker.tools.lineage.connections import open_activities, open_runs
    from dioptra_worker.tools.lineage.results import Results

    runs = open_runs(context.environment)
    run = runs.find(worker_run)
    if not yes:
        jobs = ", ".join(str(execution.job_id) for execution in run.executions)
        click.confirm(
            f"Delete all results of worker run {run.id} (jobs {jobs})?",
            abort=True,
            err=True,
        )
    user = context.client.whoami()
    deleted = Results(context.api, runs).delete(
        run,
        user=user,
        force=force,
        say=lambda text: click.echo(spelt_out(text), err=True),
    )
    forgotten = 0
    if has_queues(context.environment):
        with open_activities(context.environment, run.id) as activities:
            forgotten = activities.reset(STATES)
    also = f", {forgotten} elements of its batch forgotten" if forgotten else ""
    click.echo(f"{deleted} artifacts deleted{also}")
