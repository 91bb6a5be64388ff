"""``dioptra-worker worker-runs results``."""

from __future__ import annotations

from dataclasses import asdict

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    print_json,
)
from dioptra_worker.cli.tables import print_table
from dioptra_worker.common.text.printable import one_line


@click.command(
    "results",
    epilog=epilog(
        "dioptra-worker worker-runs results 465a8320",
        "dioptra-worker worker-runs results 465a8320 --json | jq '.[].uri'",
    ),
)
@click.argument("worker_run", metavar="WORKER_RUN")
@as_json
@command
def results_command(context: CommandContext, *, worker_run: str, as_json: bool) -> None:
    """List the artifacts that WORKER_RUN has signed, of all its jobs."""
    from dioptra_worker.tools.lineage.connections import open_runs
    from dioptra_worker.tools.lineage.results import Results

    runs = open_runs(context.environment)
    found = Results(context.api, runs).of(runs.find(worker_run).id)
    if as_json:
        print_json(
            [asdict(result) | {"deleted": result.is_deleted} for result in found]
        )
        return
    rows = [
        (
            str(result.id),
            str(result.job_id),
            "deleted" if result.is_deleted else "there",
            one_line(result.uri),
        )
        for result in found
    ]
    head = ("ARTIFACT", "JOB", "STATE", "URI")
    print_table([head, *rows], empty="it has no results")
