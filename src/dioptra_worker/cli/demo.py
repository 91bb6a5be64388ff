"""``dioptra-worker demo``, which ``make demo`` calls: watch real jobs run."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import record_lines

_SOURCES = Path(__file__).parents[3] / "entrypoints"

_EPILOG = """\b
Examples:
  make demo
  KEEP=1 make demo
  dioptra-worker demo --keep --entrypoints my-entrypoints/

\b
Exit codes:
  0    every job ended as it was meant to (one of them is meant to fail)
  1    one did not, or the demo could not be run
  130  interrupted; everything was taken down
"""


@click.command("demo", epilog=_EPILOG)
@click.option(
    "--entrypoints",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=_SOURCES,
    help="The folder with the example entrypoints.  [default: that of the sources]",
)
@click.option(
    "--keep",
    is_flag=True,
    envvar="KEEP",
    help="Leave the stack and the worker running at the end.  [env: KEEP]",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DIOPTRA_WORKER_CACHE_DIR",
    help="Where the REST API's environment is kept between stacks.  "
    "[default: your cache folder; env: DIOPTRA_WORKER_CACHE_DIR]",
)
def demo_command(entrypoints: Path, keep: bool, cache: Path | None) -> None:
    """Bring up a local Dioptra, run real jobs through the worker, and show them.

    A queue, the REST API, MLflow and S3 come up in a folder of their own; the example
    entrypoints are imported; the worker runs five jobs, one of which fails on purpose.
    Then everything is taken down again.
    """
    from dioptra_worker.errors import WorkerError
    from dioptra_worker.tools.demo import run_demo
    from dioptra_worker.tools.local.errors import StackError

    # What SIGTERM ends is to be cleaned up like what Ctrl-C ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        good = run_demo(entrypoints, keep=keep, cache=cache)
    except KeyboardInterrupt:
        click.echo("\nInterrupted; everything was taken down.", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except (WorkerError, StackError) as error:
        click.secho(
            f"\nThe demo failed: {record_lines(str(error))}", fg="red", err=True
        )
        sys.exit(ExitCode.FAILED)
    sys.exit(ExitCode.OK if good else ExitCode.FAILED)
