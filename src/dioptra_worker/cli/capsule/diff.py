"""``dioptra-worker capsule diff``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click

from dioptra_worker.cli.capsule.common import (
    evaluation,
    tell_differences,
    tolerance_option,
)
from dioptra_worker.cli.evidence.common import sentences

_EPILOG = """\b
Examples:
  dioptra-worker capsule diff 42.crate.zip 43.crate.zip
  dioptra-worker capsule diff 42.crate.zip 43.crate.zip --json | jq '.[].kind'
  dioptra-worker capsule diff 42.crate.zip mlruns/0/RUN

\b
Exit codes:
  0  nothing differs, or values do within the tolerance
  1  something differs; or one of them was changed, or is no capsule
  2  the command line is not usable
"""


@click.command("diff", epilog=_EPILOG)
@click.argument("first", type=click.Path(exists=True, path_type=Path))
@click.argument("second", type=click.Path(exists=True, path_type=Path))
@tolerance_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def diff_command(first: Path, second: Path, *, tolerance: float, as_json: bool) -> None:
    """Say exactly what differs between two capsules, or runs.

    A run is given by the folder that 'dioptra-worker run' keeps it in. Parameters,
    files of plugins, packages, inputs, metrics with their numbers, and artifacts, which
    are equal by their bytes or, arrays and tables, by their values.
    """
    with sentences(), ExitStack() as stack:
        one, other = (stack.enter_context(evaluation(it)) for it in (first, second))
        code = tell_differences(one, other, tolerance=tolerance, as_json=as_json)
    sys.exit(code)
