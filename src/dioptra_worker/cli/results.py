"""``dioptra-worker results``: what people have made without a queue."""

from __future__ import annotations

from pathlib import Path

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    print_json,
)
from dioptra_worker.cli.pairs import pairs
from dioptra_worker.provenance import RUN_VARIABLE


@click.group(
    "results",
    epilog="""
\b
Examples:
  dioptra-worker results publish --run 465a8320 report.html
""",
)
def results_group() -> None:
    """Publish results that you have made without a queue."""


@results_group.command(
    "publish",
    epilog=epilog(
        "dioptra-worker results publish --run 465a8320 report.html",
        "dioptra-worker results publish predictions/ --metric accuracy=0.93",
    ),
)
@click.argument(
    "paths",
    metavar="[PATH...]",
    nargs=-1,
    type=click.Path(exists=True, path_type=Path),
)
@click.option(
    "--run",
    "worker_run",
    metavar="WORKER_RUN",
    envvar=RUN_VARIABLE,
    show_envvar=True,
    required=True,
    help="Your personal worker run.",
)
@click.option(
    "--name", metavar="NAME", help="What to call a single PATH.  [default: its name]"
)
@click.option(
    "--metric",
    "metrics",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs,
    help="A metric to publish.",
)
@as_json
@command
def publish_command(
    context: CommandContext,
    *,
    paths: tuple[Path, ...],
    worker_run: str,
    name: str | None,
    metrics: dict[str, str],
    as_json: bool,
) -> None:
    """Publish files, folders and metrics under your personal worker run.

    To publish the same name again replaces its contents.
    """
    from dioptra_worker.tools.lineage.connections import open_runs
    from dioptra_worker.tools.lineage.personal_runs import PersonalRuns

    if not paths and not metrics:
        raise click.UsageError("give a PATH or a --metric to publish")
    if name is not None and len(paths) != 1:
        raise click.UsageError("--name is for a single PATH")
    values = {key: _number(key, text) for key, text in metrics.items()}
    personal = PersonalRuns(context.api, open_runs(context.environment))
    run = personal.mine(worker_run)
    artifacts = {str(path): personal.publish(run, path, name=name) for path in paths}
    for key, value in values.items():
        personal.metric(run, key, value)
    if as_json:
        print_json({"worker_run": run.id, "artifacts": artifacts, "metrics": values})
        return
    for path, id_ in artifacts.items():
        click.echo(f"published {path} as artifact {id_}")
    for key, value in values.items():
        click.echo(f"published {key} = {value:g}")


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"--metric {name}={text!r}: a number wanted") from None
