"""``dioptra-worker jobs diff``."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from dioptra_worker.cli.capsule.common import (
    evaluation,
    tell_differences,
    tolerance_option,
)
from dioptra_worker.cli.jobs.common import CommandContext, as_json, command, epilog


@click.command(
    "diff",
    epilog=epilog(
        "dioptra-worker jobs diff 42 43",
        "dioptra-worker jobs diff 42.crate.zip 43 --json | jq '.[].kind'",
        "dioptra-worker jobs diff mlruns/0/RUN 43",
        codes="""\b
Exit codes:
  0  nothing differs, or values do within the tolerance
  1  something differs, or it could not be done
  2  the command line or the environment is not usable
  3  the API refused the login
""",
    ),
)
@click.argument("first", metavar="JOB")
@click.argument("second", metavar="JOB")
@tolerance_option
@as_json
@command
def diff_command(
    context: CommandContext,
    *,
    first: str,
    second: str,
    tolerance: float,
    as_json: bool,
) -> None:
    """Say exactly what differs between two jobs.

    Each JOB is a job's number, the file of a capsule, or the folder of a run that
    'dioptra-worker run' has kept. Parameters, files of plugins, packages and inputs are
    compared, and metrics and artifacts, as 'dioptra-worker capsule diff' does.
    MLFLOW_TRACKING_URI and the artifact store are asked, too.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        evaluations = []
        for number, name in enumerate((first, second)):
            path = Path(name)
            is_ours = not path.is_file() and (name.isdigit() or not path.is_dir())
            if is_ours:
                path = folder / f"{number}.crate.zip"
                _make(context, name, path)
            opened = evaluation(path, is_ours=is_ours)
            evaluations.append(stack.enter_context(opened))
        code = tell_differences(*evaluations, tolerance=tolerance, as_json=as_json)
    sys.exit(code)


def _make(context: CommandContext, name: str, target: Path) -> None:
    from dioptra_worker.tools.capsule.making import make

    if not name.isdigit():
        raise click.UsageError(
            f"{name!r} is neither a job's number nor a capsule or a run's folder"
        )
    with context.job_source(int(name)) as source:
        make(source, target)
