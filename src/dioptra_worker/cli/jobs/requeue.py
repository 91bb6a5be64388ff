"""``dioptra-worker jobs requeue``."""

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


@click.command(
    "requeue",
    epilog=epilog(
        "dioptra-worker jobs requeue 17",
        "dioptra-worker jobs requeue --force 17",
    ),
)
@job_id
@click.option(
    "--force",
    is_flag=True,
    help="Also when it has finished, or a worker runs it: it is stopped first.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=100.0,
    show_default=True,
    metavar="SECONDS",
    help="With --force: how long its worker may take to stop it.",
)
@as_json
@command
def requeue_command(
    context: CommandContext, *, job_id: int, force: bool, timeout: float, as_json: bool
) -> None:
    """Have a job run again under the same id: the next one of its queue.

    It repairs a job that was lost or has failed; workers do that by themselves for one
    whose worker was lost. `rerun` makes a new job instead. It needs RQ_REDIS_URI, the
    address of the queues.
    """
    with context.actions(seconds=timeout) as actions:
        queue = actions.requeue(job_id, force=force)
    if as_json:
        print_json({"id": job_id, "status": "queued", "queue": queue})
    else:
        click.echo(f"job {job_id} is the next one of queue {queue!r}")
