"""``dioptra-worker jobs list``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    for_people,
    now,
    print_json,
)
from dioptra_worker.cli.jobs.styles import ALIASES, COLOURS, MARKS
from dioptra_worker.cli.tables import aligned, tabbed
from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.common.text.printable import one_line
from dioptra_worker.tools.jobs.formatting import maybe
from dioptra_worker.tools.jobs.job_row import STATUSES
from dioptra_worker.tools.jobs.job_types import JOB_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from dioptra_worker.broker.parking import Parked
    from dioptra_worker.tools.jobs.listing import Listed

_HEADERS = ("ID", "STATUS", "NAME", "TYPE", "USER", "EXPERIMENT", "AGE", "TOOK")
_STATUS = _HEADERS.index("STATUS")
_ELASTIC = [_HEADERS.index(name) for name in ("NAME", "USER", "EXPERIMENT")]


@click.command(
    "list",
    epilog=epilog(
        "dioptra-worker jobs list",
        "dioptra-worker jobs list --status failed --queue tensorflow-gpu",
        "dioptra-worker jobs list --type training --user ada --limit 100",
        "dioptra-worker jobs list --json | jq '.[] | select(.took_seconds > 60).id'",
    ),
)
@click.option(
    "--type",
    "job_type",
    type=click.Choice(JOB_TYPES),
    help="Only jobs of a type; a tag of that name on the job or its entrypoint says"
    " it, and a job without one is a processing.",
)
@click.option(
    "--status",
    type=click.Choice([*STATUSES, *ALIASES]),
    help="Only jobs with a status; running, success and failure are other words for"
    " started, finished and failed.",
)
@click.option("--queue", metavar="NAME", help="Only jobs of a queue.")
@click.option(
    "--experiment", metavar="NAME|ID", help="Only jobs of an experiment: the object."
)
@click.option("--user", metavar="NAME", help="Only jobs that a user submitted.")
@click.option("--entrypoint", metavar="NAME|ID", help="Only jobs of an entrypoint.")
@click.option(
    "--worker-run",
    metavar="WORKER_RUN",
    help="Only jobs of a worker run, by its id or how that begins; it is looked for in"
    " MLFLOW_TRACKING_URI.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many at most.",
)
@as_json
@command
def list_command(
    context: CommandContext,
    *,
    job_type: str | None,
    status: str | None,
    queue: str | None,
    experiment: str | None,
    user: str | None,
    entrypoint: str | None,
    worker_run: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, the newest first.

    The object of a job is its experiment. AGE is the time since it was submitted, TOOK
    how long it ran, or has been running. In a terminal the table is cut to its width;
    elsewhere there is a tab between two cells, and nothing is cut.
    """
    from dioptra_worker.tools.jobs.details import dump_listed
    from dioptra_worker.tools.jobs.listing import Filter

    wanted = Filter(
        job_type=job_type,
        status=ALIASES.get(status, status) if status else None,
        queue=queue,
        experiment=experiment,
        user=user,
        entrypoint=entrypoint,
        among=context.jobs_of(worker_run) if worker_run else None,
    )
    found = context.listing.find(wanted, limit=limit)
    if not found.jobs:
        context.listing.refuse_unknown(wanted)
    time = now()
    are_over = all(listed.job.has_ended for listed in found.jobs)
    parked = {} if are_over else context.parked_jobs().among(found)
    if as_json:
        print_json([dump_listed(it, time, parked.get(it.job.id)) for it in found.jobs])
        return
    rows = [_HEADERS, *(_cells(listed, time) for listed in found.jobs)]
    if not for_people():
        click.echo("\n".join(tabbed(rows)))
        _tell_parked(parked)
        return
    _print(rows, [listed.job.status for listed in found.jobs])
    if not found.jobs:
        click.secho("no such jobs", dim=True)
    if found.more:
        click.secho(f"more than these {limit}: see --limit", dim=True)
    _tell_parked(parked)


def _tell_parked(parked: Mapping[int, Parked]) -> None:
    """Say which of the jobs are parked, beside the table, which programs read."""
    for job_id, found in parked.items():
        from dioptra_worker.tools.jobs.parked import parked_lines

        words = "; ".join(map(one_line, parked_lines(found)))
        click.secho(f"job {job_id} is parked {words}", err=True)


def _cells(listed: Listed, time: datetime) -> tuple[str, ...]:
    job = listed.job
    name = f"{job.name}: {job.description}" if job.description else job.name
    return (
        str(job.id),
        job.status,
        one_line(name),
        listed.job_type,
        one_line(job.user),
        one_line(job.experiment),
        coarse_duration(listed.age(time)),
        maybe(listed.took(time)),
    )


def _print(rows: list[tuple[str, ...]], statuses: list[str]) -> None:
    marked = [
        [*row[:_STATUS], f"{mark} {row[_STATUS]}", *row[_STATUS + 1 :]]
        for row, mark in zip(
            rows, [" ", *(MARKS.get(status, " ") for status in statuses)], strict=True
        )
    ]
    width = shutil.get_terminal_size().columns
    head, *lines = aligned(marked, width=width, elastic=_ELASTIC)
    click.secho("".join(head), dim=True)
    for cells, status in zip(lines, statuses, strict=True):
        cells[_STATUS] = click.style(cells[_STATUS], fg=COLOURS.get(status))
        click.echo("".join(cells))
