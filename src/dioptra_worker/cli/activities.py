"""``dioptra-worker activities``: which elements of a batch are done."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import click

from dioptra_worker.broker.batch_leases import STATES
from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    print_json,
)
from dioptra_worker.cli.tables import print_table
from dioptra_worker.common.text.printable import one_line

_run = click.argument("worker_run", metavar="WORKER_RUN")


@click.group(
    "activities",
    epilog="""
\b
Examples:
  dioptra-worker activities stats 465a8320
  dioptra-worker activities list 465a8320 --state error
""",
)
def activities_group() -> None:
    """See which elements of a batch are done, and have some done again.

    The jobs of one worker run share the record; it is kept in Redis, whose address
    RQ_REDIS_URI gives.
    """


@activities_group.command(
    "list",
    epilog=epilog("dioptra-worker activities list 465a8320 --state error"),
)
@_run
@click.option("--state", type=click.Choice(STATES), help="Only those in a state.")
@as_json
@command
def list_command(
    context: CommandContext, *, worker_run: str, state: str | None, as_json: bool
) -> None:
    """List the elements that WORKER_RUN has begun."""
    from dioptra_worker.tools.lineage.connections import open_activities, open_runs

    run = open_runs(context.environment).find(worker_run)
    with open_activities(context.environment, run.id) as activities:
        found = [
            entry for entry in activities.records() if state in {None, entry.state}
        ]
    found.sort(key=lambda entry: entry.element)
    if as_json:
        print_json([asdict(entry) for entry in found])
        return
    rows = [
        (
            one_line(entry.element),
            entry.state,
            str(entry.job) if entry.job > 0 else "by hand",
            str(entry.attempts),
            one_line(entry.error),
        )
        for entry in found
    ]
    head = ("ELEMENT", "STATE", "JOB", "ATTEMPTS", "ERROR")
    print_table([head, *rows], empty="no such elements")


@activities_group.command(
    "stats", epilog=epilog("dioptra-worker activities stats 465a8320")
)
@_run
@as_json
@command
def stats_command(context: CommandContext, *, worker_run: str, as_json: bool) -> None:
    """Count the elements of WORKER_RUN by their state."""
    from dioptra_worker.tools.lineage.connections import open_activities, open_runs

    run = open_runs(context.environment).find(worker_run)
    with open_activities(context.environment, run.id) as activities:
        counts = Counter(entry.state for entry in activities.records())
    if as_json:
        print_json({state: counts[state] for state in STATES})
        return
    rows = [(state, str(counts[state])) for state in STATES]
    print_table([("STATE", "ELEMENTS"), *rows], empty="")


@activities_group.command(
    "reset",
    epilog=epilog(
        "dioptra-worker activities reset 465a8320 --state error",
        "dioptra-worker activities reset 465a8320 --state processed --state error",
    ),
)
@_run
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    required=True,
    help="Which to forget; may be given several times.",
)
@command
def reset_command(
    context: CommandContext, *, worker_run: str, states: tuple[str, ...]
) -> None:
    """Forget elements of WORKER_RUN, so that the next job processes them again.

    An element that is being processed may then be processed twice at once: forget
    those that are `started` only when no job of the worker run is running.
    """
    from dioptra_worker.tools.lineage.connections import open_activities, open_runs

    run = open_runs(context.environment).find(worker_run)
    with open_activities(context.environment, run.id) as activities:
        gone = activities.reset({state for state in STATES if state in states})
    click.echo(f"{gone} elements forgotten")
