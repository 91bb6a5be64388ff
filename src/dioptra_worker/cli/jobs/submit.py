"""``dioptra-worker jobs submit``."""

from __future__ import annotations

import click

from dioptra_worker.cli.jobs.common import (
    Desk,
    as_json,
    command,
    epilog,
    print_json,
)


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
@click.option(
    "-P",
    "values",
    metavar="NAME=VALUE",
    multiple=True,
    callback=lambda _context, _parameter, pairs: _pairs(pairs),
    help="A value for a parameter; lists and mappings as JSON.",
)
@click.option(
    "--artifact",
    "artifacts",
    metavar="NAME=ID",
    multiple=True,
    callback=lambda _context, _parameter, pairs: _numbers(_pairs(pairs)),
    help="An artifact for an artifact parameter; `jobs show` tells the ids.",
)
@click.option(
    "--swap",
    "swaps",
    metavar="NAME=TASK",
    multiple=True,
    callback=lambda _context, _parameter, pairs: _pairs(pairs),
    help="The task to take where the task graph leaves a choice.",
)
@click.option(
    "--timeout",
    metavar="TIME",
    default="24h",
    show_default=True,
    help="How long the job may run, such as 10m.",
)
@click.option(
    "--description", metavar="TEXT", default="", help="A sentence for people."
)
@as_json
@command
def submit_command(
    desk: Desk,
    *,
    entrypoint: str,
    experiment: str,
    queue: str | None,
    values: dict[str, str],
    artifacts: dict[str, int],
    swaps: dict[str, str],
    timeout: str,
    description: str,
    as_json: bool,
) -> None:
    """Submit a job of ENTRYPOINT, which is a name or an id.

    The entrypoint is added to the experiment, and the queue to the entrypoint, where
    that has not been done.
    """
    from dioptra_worker.jobs.ordering import Wish, order

    wish = Wish(
        entrypoint=entrypoint,
        queue=queue,
        experiment=experiment,
        values=values,
        artifacts=artifacts,
        swaps=swaps,
        timeout=timeout,
        description=description,
    )
    job = order(desk.resources, wish)
    if as_json:
        print_json({"id": job})
    else:
        click.echo(f"submitted job {job}")


def _pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """Names and values of ``NAME=VALUE``."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE.")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice.")
        found[name] = value
    return found


def _numbers(pairs: dict[str, str]) -> dict[str, int]:
    for name, value in pairs.items():
        if not (value.isascii() and value.isdigit()):
            raise click.BadParameter(f"{name}={value!r}: the id of an artifact wanted.")
    return {name: int(value) for name, value in pairs.items()}
