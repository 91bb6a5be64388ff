"""``dioptra-worker worker-runs create``."""

from __future__ import annotations

import click

from dioptra_worker.cli.ids import Id
from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    print_json,
)
from dioptra_worker.cli.pairs import numbers, pairs
from dioptra_worker.common.text.printable import spelt_out


@click.command(
    "create",
    epilog=epilog(
        "dioptra-worker worker-runs create --experiment demo --entrypoint my-script",
        "export DIOPTRA_WORKER_RUN_ID=$(dioptra-worker worker-runs create \\\n"
        "      --experiment demo --entrypoint my-script --json | jq -r .id)",
    ),
)
@click.option(
    "--experiment", metavar="NAME|ID", required=True, help="What the results belong to."
)
@click.option(
    "--entrypoint",
    metavar="NAME|ID",
    required=True,
    help="What stands for your script: its version is what the results are signed"
    " with.",
)
@click.option(
    "--snapshot",
    type=Id("version", "see the entrypoint's page in Dioptra"),
    metavar="ID",
    help="Its version.  [default: the latest]",
)
@click.option(
    "-P",
    "values",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs,
    help="A value for one of its parameters.",
)
@click.option(
    "--artifact",
    "inputs",
    metavar="NAME=ID",
    multiple=True,
    callback=numbers,
    help="An artifact that your script reads.",
)
@as_json
@command
def create_command(
    context: CommandContext,
    *,
    experiment: str,
    entrypoint: str,
    snapshot: int | None,
    values: dict[str, str],
    inputs: dict[str, int],
    as_json: bool,
) -> None:
    """Open a personal worker run, which signs what you publish by hand.

    It is a job that never runs, on a queue of your own that no worker watches. Only
    you can publish under it; there is one for each version of an entrypoint.
    """
    from dioptra_worker.tools.jobs.worker_run import data_parameters
    from dioptra_worker.tools.lineage.connections import open_runs
    from dioptra_worker.tools.lineage.personal_runs import PersonalRuns
    from dioptra_worker.tools.resources.names import id_of

    client = context.client
    runs = open_runs(context.environment)
    run = PersonalRuns(context.api, runs).create(
        experiment_id=id_of(client, "experiments", experiment),
        entrypoint_id=id_of(client, "entrypoints", entrypoint),
        snapshot_id=snapshot,
        values=values,
        inputs=inputs,
        data=data_parameters(context.environment),
        on_enqueued=lambda queue, job: _forget(context, queue, job),
    )
    if as_json:
        print_json({"id": run.id, "job": run.latest.job_id})
    else:
        click.echo(f"personal worker run {run.id}, job {run.latest.job_id}")


def _forget(context: CommandContext, queue: str, job: int) -> None:
    """Take the entry that nobody will take out of the queue, where Redis is known."""
    from dioptra_worker.broker.connection import translate_errors
    from dioptra_worker.errors import ServiceUnavailable
    from dioptra_worker.tools.jobs.control.queues import has_queues, open_queues

    if not has_queues(context.environment):
        return
    try:
        with translate_errors(), open_queues(context.environment) as connection:
            connection.lrem(f"rq:queue:{queue}", 0, str(job))
            connection.delete(f"rq:job:{job}")
    except ServiceUnavailable as error:
        click.echo(spelt_out(f"its entry stays in queue {queue!r}: {error}"), err=True)
