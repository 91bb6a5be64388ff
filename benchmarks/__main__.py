"""``python -m benchmarks``, which ``make bench`` calls."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.errors import BenchmarkError
from benchmarks.report import Report
from benchmarks.run import KINDS, Order, run
from benchmarks.scenarios import SCENARIOS
from dioptra_worker.errors import WorkerError
from dioptra_worker.tools.local.errors import StackError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
QUICK_RESULTS = ROOT / "build/benchmarks"
_NAMES = [scenario.name for scenario in SCENARIOS]
_INTERRUPTED = 130

_EPILOG = """\b
Examples:
  make bench
  make bench QUICK=1
  python -m benchmarks --only hello-world --only drain --runs 3
  python -m benchmarks --quick --peer none

\b
Exit codes:
  0    every scenario was measured, whether or not its targets are reached
  1    one could not be measured; the results of the others are kept
  2    unusable command line
  130  interrupted; what was measured is kept
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--quick",
    is_flag=True,
    help="Only see that everything works: small sizes, one run each, no installation.",
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(_NAMES),
    help="Measure this scenario; may be given several times.  [default: all]",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    help="Measure this often.  [default: what each scenario needs]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the results go, a JSON file for each scenario.  "
    "[default: benchmarks/results, or build/benchmarks with --quick]",
)
@click.option(
    "--peer",
    type=click.Choice(KINDS),
    help="The environment of the platform's worker: all that dioptra-platform "
    "declares, as its users have it; only what it imports, which makes it faster; or "
    "leave it out.  [default: full, or slim with --quick]",
)
@click.option(
    "--peer-python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="DIOPTRA_WORKER_PEER_PYTHON",
    help="With --peer slim or none, the interpreter of an environment that has "
    "dioptra-platform; otherwise one is made.  [env: DIOPTRA_WORKER_PEER_PYTHON]",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DIOPTRA_WORKER_CACHE_DIR",
    help="Where that environment is kept.  "
    "[default: your cache folder; env: DIOPTRA_WORKER_CACHE_DIR]",
)
def main(
    quick: bool,
    only: tuple[str, ...],
    runs: int | None,
    out: Path | None,
    peer: str | None,
    peer_python: Path | None,
    cache: Path | None,
) -> None:
    """Measure our worker beside the platform's own, on the same real services."""
    # What SIGTERM ends is to be cleaned up like what Ctrl-C ends.
    signal.signal(signal.SIGTERM, _interrupt)
    chosen = [
        scenario
        for scenario in SCENARIOS
        if scenario.name in only or (not only and (scenario.in_quick or not quick))
    ]
    order = Order(
        scenarios=chosen,
        quick=quick,
        runs=runs,
        out=out or (QUICK_RESULTS if quick else RESULTS),
        peer=peer or ("slim" if quick else "full"),
        peer_python=peer_python,
        cache=cache,
    )
    try:
        report = Report()
        failures = run(order, report)
    except KeyboardInterrupt:
        click.echo("\nInterrupted; what was measured is kept.", err=True)
        sys.exit(_INTERRUPTED)
    except (BenchmarkError, WorkerError, StackError) as error:
        click.secho(f"\nThe benchmarks cannot run: {error}", fg="red", err=True)
        sys.exit(1)
    report.end(failures)
    sys.exit(1 if failures else 0)


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
