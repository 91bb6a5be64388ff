"""``dioptra-worker capsule repeat``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.capsule.common import capsule_file, store_option
from dioptra_worker.cli.capsule.repeating import repeat_capsule
from dioptra_worker.cli.evidence.common import sentences

if TYPE_CHECKING:
    from pathlib import Path

_EPILOG = """\b
Examples:
  dioptra-worker capsule repeat 42.crate.zip -n 10
  dioptra-worker capsule repeat 42.crate.zip --json | jq .metrics

\b
Exit codes:
  0  all runs finished, and gave the same, bit by bit
  1  they did not, which is said; or the capsule was changed
  2  the command line is not usable
  130  it was interrupted
"""


@click.command("repeat", epilog=_EPILOG)
@capsule_file
@click.option(
    "-n",
    "--runs",
    type=click.IntRange(min=2, max=10_000),
    default=10,
    show_default=True,
    help="How often to run it.",
)
@store_option("the runs")
@click.option("--anew", is_flag=True, help="Pass over runs that are there from before.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def repeat_command(
    file: Path, *, runs: int, store: Path, anew: bool, as_json: bool
) -> None:
    """Run the job in the capsule FILE several times, and say how far results lie apart.

    Each run is a process of its own, with the packages of this environment. Of each
    metric it tells whether all values are the same, or their mean, the experimental
    standard deviation s, the standard uncertainty of the mean s/sqrt(n) (GUM, Type A)
    and the range; of each artifact, how many versions there were. Where results differ,
    it is tried out what makes them: the order of hashes, of threads, random numbers
    that nobody has seeded, or none of these.

    Whoever interrupts it gives the same command again: it goes on with the runs that
    there are.
    """
    from dioptra_worker.tools.capsule.opening import Capsule

    with sentences(), Capsule(file) as capsule:
        capsule.check()
        report = repeat_capsule(capsule, store, runs=runs, anew=anew)
    sys.exit(report.tell(as_json=as_json))
