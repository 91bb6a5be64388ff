"""``dioptra-worker lineage``."""

from __future__ import annotations

from contextlib import ExitStack

import click

from dioptra_worker.cli.ids import Id
from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    print_json,
)
from dioptra_worker.common.text.printable import one_line


@click.command(
    "lineage",
    epilog=epilog(
        "dioptra-worker lineage 42",
        "dioptra-worker lineage 42 --depth 2",
        "dioptra-worker lineage 42 --json | jq -r '.jobs[].worker_run'",
        "dioptra-worker lineage 42 --dot | dot -Tsvg > 42.svg",
    ),
)
@click.argument(
    "root",
    metavar="JOB|ARTIFACT",
    type=Id("job's or artifact", "see `dioptra-worker jobs list` and `jobs show`"),
)
@click.option(
    "--depth",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many jobs to go back.  [default: all, up to 500 jobs]",
)
@as_json
@click.option("--dot", "as_dot", is_flag=True, help="Print Graphviz's language.")
@command
def lineage_command(
    context: CommandContext,
    *,
    root: int,
    depth: int | None,
    as_json: bool,
    as_dot: bool,
) -> None:
    """Show what a result came from: the job that made it, what that read, and so on.

    Give the number of a job or of an artifact: the REST API numbers both in one series.
    Each job is told with its status, worker run and manifest, each artifact with its
    SHA-256. These are in the jobs' manifests, so MLFLOW_TRACKING_URI and the artifact
    store are asked, too; without them, or a manifest, the REST API is. What was deleted
    is told as such.
    """
    from dioptra_worker.tools.jobs.ancestors.export import document, dot
    from dioptra_worker.tools.jobs.ancestors.reading import NoRecords, read_lineage
    from dioptra_worker.tools.jobs.ancestors.tree import tree
    from dioptra_worker.tools.jobs.worker_run import data_parameters
    from dioptra_worker.tools.lineage.connections import open_mlflow
    from dioptra_worker.tools.lineage.recorded_jobs import RecordedJobs

    if as_json and as_dot:
        raise click.UsageError("--json and --dot exclude each other: give one of them")
    with ExitStack() as stack:
        records: NoRecords | RecordedJobs = NoRecords()
        if context.mlflow:
            mlflow = stack.enter_context(open_mlflow(context.environment))
            records = RecordedJobs(mlflow)
        else:
            click.echo("MLFLOW_TRACKING_URI is not set: no manifest is read", err=True)
        lineage = read_lineage(
            context.api,
            context.client,
            root,
            depth=depth,
            records=records,
            data_parameters=data_parameters(context.environment),
        )
    for note in lineage.notes:
        click.echo(f"no manifest is read: {one_line(note)}", err=True)
    if as_json:
        print_json(document(lineage))
    elif as_dot:
        click.echo(dot(lineage))
    else:
        for line in tree(lineage):
            click.echo(line)
