"""``dioptra-worker worker-runs list``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    now,
    print_json,
)
from dioptra_worker.cli.tables import print_table
from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from dioptra_worker.tools.lineage.runs import FoundRun


@click.command(
    "list",
    epilog=epilog(
        "dioptra-worker worker-runs list",
        "dioptra-worker worker-runs list --experiment trials --user ada",
        "dioptra-worker worker-runs list --json | jq '.[].id'",
    ),
)
@click.option(
    "--experiment", metavar="NAME|ID", default="", help="Only of an experiment."
)
@click.option(
    "--entrypoint", metavar="NAME|ID", default="", help="Only of an entrypoint."
)
@click.option(
    "--configuration", metavar="ID", default="", help="Only with a configuration."
)
@click.option("--user", metavar="NAME", default="", help="Only of a user's jobs.")
@as_json
@command
def list_command(
    context: CommandContext,
    *,
    experiment: str,
    entrypoint: str,
    configuration: str,
    user: str,
    as_json: bool,
) -> None:
    """List worker runs, the one with the newest job first.

    They are read from MLflow, whose address MLFLOW_TRACKING_URI gives.
    """
    from dioptra_worker.tools.lineage.connections import open_runs

    runs = open_runs(context.environment)
    found = runs.all(
        experimentId=_id_of(context, "experiments", experiment),
        entrypointId=_id_of(context, "entrypoints", entrypoint),
        configurationId=configuration,
        user=user,
    )
    if as_json:
        print_json([dump(run) for run in found])
        return
    head = ("WORKER RUN", "EXPERIMENT", "ENTRYPOINT", "VERSION", "USER", "JOBS", "LAST")
    print_table([head, *map(_cells, found)], empty="no such worker runs")


def _id_of(context: CommandContext, kind: str, given: str) -> str:
    """An id as MLflow has it, of what was given, if anything was."""
    from dioptra_worker.tools.resources.names import id_of

    return str(id_of(context.client, kind, given)) if given else ""


def dump(run: FoundRun) -> dict[str, Any]:
    """A worker run for JSON."""
    return {
        "id": run.id,
        "personal": run.is_personal,
        "configuration": run.configuration_id,
        "document": run.document,
        "jobs": [
            {
                "id": execution.job_id,
                "mlflow_run": execution.run_id,
                "status": execution.status,
                "results_deleted": execution.results_deleted or None,
                "tags": dict(execution.tags),
            }
            for execution in run.executions
        ],
    }


def _cells(run: FoundRun) -> tuple[str, ...]:
    tags = run.latest.tags
    started = datetime.fromtimestamp(run.latest.started / 1000, UTC)
    return (
        run.id,
        tags.get("dioptra.experimentId", ""),
        tags.get("dioptra.entrypointId", ""),
        tags.get("dioptra.entrypointSnapshotId", ""),
        one_line(tags.get("dioptra.user", "")),
        str(len(run.executions)),
        coarse_duration((now() - started).total_seconds()),
    )
