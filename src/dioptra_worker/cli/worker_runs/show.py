"""``dioptra-worker worker-runs show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    print_json,
)
from dioptra_worker.cli.worker_runs.list_ import dump
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.lineage.runs import FoundRun

_ABOUT = {
    "queue": "queue",
    "worker": "workerName",
    "worker version": "workerVersion",
    "image": "image",
    "revision": "revision",
    "packages": "packages",
    "python": "python",
    "system": "system",
    "cpu": "cpu",
    "memory": "memory",
    "gpu": "gpu",
}
"""What is shown of a job's surroundings, by its words: the tag."""


@click.command(
    "show",
    epilog=epilog(
        "dioptra-worker worker-runs show 465a8320",
        "dioptra-worker worker-runs show 465a8320 --json | jq .document",
    ),
)
@click.argument("worker_run", metavar="WORKER_RUN")
@as_json
@command
def show_command(context: CommandContext, *, worker_run: str, as_json: bool) -> None:
    """Show what WORKER_RUN is made of, its jobs and where the last of them ran."""
    from dioptra_worker.tools.lineage.connections import open_runs

    run = open_runs(context.environment).find(worker_run)
    if as_json:
        print_json(dump(run))
        return
    for label, text in _lines(context, run):
        click.echo(f"{label + ':':<17}{one_line(text)}")


def _lines(context: CommandContext, run: FoundRun) -> Iterator[tuple[str, str]]:
    tags = run.latest.tags
    document = run.document
    yield "worker run", run.id
    if run.is_personal:
        yield "personal", f"signs what {tags.get('dioptra.user', '')} publishes"
    yield "experiment", tags.get("dioptra.experimentId", "")
    name = _entrypoint(context, run)
    version = tags.get("dioptra.entrypointSnapshotId", "")
    yield "entrypoint", f"{name}, version {version}"
    for key, (id_, snapshot) in document.get("inputs", {}).items():
        yield "input", f"{key}: artifact {id_}, state {snapshot}"
    for key, task in document.get("swaps", {}).items():
        yield "swap", f"{key}: {task}"
    for key, value in document.get("configuration", {}).items():
        yield "value", f"{key} = {json.dumps(value, ensure_ascii=False)}"
    yield "configuration", run.configuration_id
    for execution in run.executions:
        deleted = execution.results_deleted
        words = f", results deleted {deleted}" if deleted else ""
        user = execution.tags.get("dioptra.user", "")
        yield "job", f"{execution.job_id}, {execution.status}, of {user}{words}"
    for label, tag in _ABOUT.items():
        value = tags.get(f"dioptra.{tag}")
        if value:
            yield label, value


def _entrypoint(context: CommandContext, run: FoundRun) -> str:
    from dioptra_worker.errors import NotFound

    id_ = int(run.latest.tags["dioptra.entrypointId"])
    try:
        return f"{context.client.entrypoint(id_)['name']} ({id_})"
    except NotFound:
        return f"{id_}, which was deleted"
