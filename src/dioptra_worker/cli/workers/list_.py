"""``dioptra-worker workers list``."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.exit_codes import exit_code
from dioptra_worker.cli.tables import print_table
from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.common.text.printable import one_line, record_lines
from dioptra_worker.errors import WorkerError

if TYPE_CHECKING:
    from dioptra_worker.broker.rq.workers import SeenWorker

_EPILOG = """\b
Examples:
  dioptra-worker workers list
  dioptra-worker workers list --queue tensorflow-gpu
  dioptra-worker workers list --json | jq '.[] | select(.job == null).name'

\b
Environment (required):
  RQ_REDIS_URI  the queues' Redis

\b
Exit codes:
  0  all went well, also where there are none
  1  there is no such queue, or Redis cannot be reached
  2  the command line or the environment is not usable
"""


@click.command("list", epilog=_EPILOG)
@click.option("--queue", metavar="NAME", help="Only those that listen on a queue.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(*, queue: str | None, as_json: bool) -> None:
    """List the workers that give signs of life, with their queues.

    JOB is the job that a worker runs, UP the time since it came, and HEARTBEAT the time
    since its last sign of life.
    """
    from dioptra_worker.tools.jobs.control.listeners import listeners

    try:
        found = listeners(os.environ, queue=queue)
    except WorkerError as error:
        click.echo(record_lines(str(error)), err=True)
        sys.exit(exit_code(error))
    if as_json:
        click.echo(json.dumps([_record(worker) for worker in found], indent=2))
        return
    head = ("WORKER", "QUEUES", "STATE", "JOB", "HOST", "UP", "HEARTBEAT")
    where = f" on queue {queue!r}" if queue else ""
    print_table([head, *map(_cells, found)], empty=f"no worker listens{where}")


def _cells(worker: SeenWorker) -> tuple[str, ...]:
    return (
        one_line(worker.name),
        one_line(", ".join(worker.queues)),
        one_line(worker.state),
        one_line(worker.job or ""),
        one_line(worker.host),
        _ago(worker.since),
        _ago(worker.heartbeat),
    )


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return ""
    return coarse_duration(max(0.0, (datetime.now(UTC) - moment).total_seconds()))


def _record(worker: SeenWorker) -> dict[str, Any]:
    return {
        "name": worker.name,
        "queues": list(worker.queues),
        "state": worker.state,
        "job": worker.job,
        "host": worker.host,
        "pid": worker.pid,
        "since": worker.since.isoformat() if worker.since else None,
        "heartbeat": worker.heartbeat.isoformat() if worker.heartbeat else None,
    }
