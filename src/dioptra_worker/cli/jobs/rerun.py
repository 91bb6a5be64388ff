"""``dioptra-worker jobs rerun``."""

from __future__ import annotations

from typing import Any

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    job_id,
    print_json,
)
from dioptra_worker.cli.pairs import as_texts, values_from_file, values_of_job


@click.command(
    "rerun",
    epilog=epilog(
        "dioptra-worker jobs rerun 17",
        "dioptra-worker jobs rerun 17 -P epochs=30",
        "dioptra-worker jobs rerun --latest --queue tensorflow-gpu 17",
        "dioptra-worker jobs logs -f $(dioptra-worker jobs rerun --json 17 | jq .id)",
    ),
)
@job_id
@click.option(
    "--latest",
    is_flag=True,
    help="Take the entrypoint as it is now, not as it was for the job.",
)
@click.option(
    "--queue", metavar="NAME", help="Another queue.  [default: that of the job]"
)
@values_of_job
@values_from_file
@as_json
@command
def rerun_command(
    context: CommandContext,
    *,
    job_id: int,
    latest: bool,
    queue: str | None,
    values: dict[str, str],
    file_values: dict[str, Any],
    as_json: bool,
) -> None:
    """Submit a job once more, as a new job.

    It has the same entrypoint snapshot, parameters, input artifacts, swaps, queue,
    experiment and time limit, but for the values that are given.
    """
    from dioptra_worker.tools.jobs.control.submission import rerun

    new = rerun(
        context.client,
        job_id,
        latest=latest,
        queue=queue,
        values=as_texts(file_values, values),
    )
    if as_json:
        print_json({"id": new, "rerun_of": job_id})
    else:
        click.echo(f"submitted job {new}, job {job_id} once more")
