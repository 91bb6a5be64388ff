"""``dioptra-worker jobs submit``."""

from __future__ import annotations

import re
from typing import Any

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    print_json,
)
from dioptra_worker.cli.pairs import (
    as_texts,
    numbers,
    pairs,
    values_from_file,
    values_of_job,
)

_TIME = re.compile(r"0*[1-9]\d{0,8}[smhd]?", re.IGNORECASE)


def _time(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """A time as RQ reads it; the API answers any other with 500."""
    if not _TIME.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no time: write 90s, 15m, 2h or 1d")
    return value


@click.command(
    "submit",
    epilog=epilog(
        "dioptra-worker jobs submit hello-world --experiment demo -P name=Ada",
        "dioptra-worker jobs submit train --experiment demo --queue tensorflow-gpu"
        " \\\n      -P epochs=3 -P 'layers=[64, 64]' --artifact dataset=83",
        "dioptra-worker jobs wait $(dioptra-worker jobs submit --json \\\n"
        "      hello-world --experiment demo | jq .id)",
    ),
)
@click.argument("entrypoint", metavar="ENTRYPOINT")
@click.option(
    "--experiment",
    metavar="NAME",
    required=True,
    help="The experiment; it is created if there is none of that name.",
)
@click.option(
    "--queue",
    metavar="NAME",
    help="Where to submit it.  [default: the entrypoint's only queue]",
)
@values_of_job
@values_from_file
@click.option(
    "--configuration",
    metavar="NAME",
    help="A named configuration, which -P goes before; see `dioptra-worker"
    " configurations`.",
)
@click.option(
    "--artifact",
    "artifacts",
    metavar="NAME=ID",
    multiple=True,
    callback=numbers,
    help="An artifact for an artifact parameter; `jobs show` tells the ids.",
)
@click.option(
    "--swap",
    "swaps",
    metavar="NAME=TASK",
    multiple=True,
    callback=pairs,
    help="The task to take where the task graph leaves a choice.",
)
@click.option(
    "--timeout",
    metavar="TIME",
    default="24h",
    show_default=True,
    callback=_time,
    help="How long the job may run, such as 10m.",
)
@click.option(
    "--description", metavar="TEXT", default="", help="A sentence for people."
)
@as_json
@command
def submit_command(
    context: CommandContext,
    *,
    entrypoint: str,
    experiment: str,
    queue: str | None,
    values: dict[str, str],
    file_values: dict[str, Any],
    configuration: str | None,
    artifacts: dict[str, int],
    swaps: dict[str, str],
    timeout: str,
    description: str,
    as_json: bool,
) -> None:
    """Submit a job of ENTRYPOINT, which is a name or an id.

    The entrypoint is added to the experiment, and the queue to the entrypoint, where
    that has not been done. Where RQ_REDIS_URI is set, it is told behind how many others
    the job waits, and who listens on its queue.
    """
    from dioptra_worker.tools.jobs.control.queues import has_queues
    from dioptra_worker.tools.jobs.control.submission import submit_checked
    from dioptra_worker.tools.jobs.job_row import JobRow
    from dioptra_worker.tools.resources.submitting import Submission

    values = as_texts(file_values, values)
    if configuration or (values and context.environment.get("MLFLOW_TRACKING_URI")):
        values = _configured(context, entrypoint, configuration, values)
    wanted = Submission(
        entrypoint=entrypoint,
        queue=queue,
        experiment=experiment,
        values=values,
        artifacts=artifacts,
        swaps=swaps,
        timeout=timeout,
        description=description,
    )
    job = submit_checked(context.client, wanted)
    if as_json:
        print_json({"id": job})
    else:
        click.echo(f"submitted job {job}")
    if has_queues(context.environment):
        context.watch_waiting().look(JobRow.read(context.client.job(job)))


def _configured(
    context: CommandContext, entrypoint: str, name: str | None, given: dict[str, str]
) -> dict[str, str]:
    """The values of a configuration and those given; none of an archived one."""
    from dioptra_worker.errors import ServiceUnavailable
    from dioptra_worker.provenance import BadValue, canonical_text
    from dioptra_worker.tools.lineage.connections import open_configurations

    configurations = open_configurations(
        context.environment, context.client, entrypoint
    )
    named = dict(configurations.usable(name).values) if name else {}
    values = {
        key: value if isinstance(value, str) else canonical_text(value)
        for key, value in named.items()
    } | given
    try:
        configurations.refuse_archived(values)
    except BadValue:
        pass  # which is said when the job is submitted
    except ServiceUnavailable as error:
        click.echo(
            f"whether this configuration is archived is not known: {error}", err=True
        )
    return values
