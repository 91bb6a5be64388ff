"""What the commands about capsules share."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.interrupts import interrupt_at_sigterm
from dioptra_worker.common.text.printable import one_line, record_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dioptra_worker.supervision.channel.runner_output import RunnerListener
    from dioptra_worker.tools.capsule.comparison.comparing import Evaluation
    from dioptra_worker.tools.capsule.opening import Capsule
    from dioptra_worker.tools.capsule.repetition.kept_runs import KeptRuns
    from dioptra_worker.tools.capsule.replay.replaying import Replayed

capsule_file = click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
"""The argument of commands about one capsule."""

tolerance_option = click.option(
    "--tolerance",
    metavar="NUMBER",
    type=click.FloatRange(min=0, max=1),
    default=1e-9,
    show_default=True,
    help="How far two numbers may be apart to be equal, in themselves and in proportion"
    " to the larger.",
)
"""How far values may be apart to be equal."""

_SEEDS = (
    "Each run draws a seed for its random generators, which may be why results differ"
)


def store_option(what: str) -> Callable[[Any], Any]:
    """The option of where runs are kept: the run, or the runs."""
    return click.option(
        "--store",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("mlruns"),
        help=f"Keep {what} in this folder.  [default: mlruns]",
    )


def prepare_to_run() -> None:
    """Make ready for `run_once`.

    Raises:
        UntrustedFolder: The folder of runs is somebody else's.
    """
    from dioptra_worker.common.files.trusted_folder import make_private
    from dioptra_worker.common.files.workspace import temporary_work_dir

    make_private(temporary_work_dir())
    interrupt_at_sigterm()  # it would leave processes and folders of the run behind


def run_once(
    capsule: Capsule,
    store: Path,
    *,
    fixed: Mapping[str, str] | None = None,
    seed: int | None = None,
    listener: RunnerListener | None = None,
) -> tuple[Replayed, bool]:
    """Run a capsule's job again with our environment; ends the command if it cannot.

    Args:
        capsule: The capsule, whose files were checked.
        store: The folder to keep the run in.
        fixed: Variables that are to be otherwise than they were.
        seed: What its random generators are to be seeded with; None is fresh.
        listener: Hears what the run says.

    Returns:
        What came of it, and whether somebody has pressed Ctrl-C.
    """
    from dioptra_worker.tools.capsule.replay.replaying import run_again

    folder = store.absolute()
    try:
        return run_again(
            capsule,
            store=folder,
            environment=os.environ,
            fixed=fixed,
            seed=seed,
            listener=listener,
        )
    except OSError as error:
        click.echo(record_lines(f"it could not be run: {error}"), err=True)
        sys.exit(ExitCode.FAILED)


def kept_runs(capsule: Capsule, store: Path) -> KeptRuns:
    """What came of a capsule's runs with the variables that `run_once` gives them."""
    from dioptra_worker.tools.capsule.repetition.kept_runs import KeptRuns
    from dioptra_worker.tools.capsule.replay.replaying import surroundings

    variables = surroundings(capsule.manifest, os.environ)
    return KeptRuns(store.absolute(), capsule=capsule.digest, environment=variables)


@contextmanager
def evaluation(path: Path, *, is_ours: bool = False) -> Iterator[Evaluation]:
    """What a capsule, or a run in a folder, says, as long as the file is open.

    Args:
        path: The capsule's file, or the run's folder.
        is_ours: Whether we have just made it.

    Raises:
        CapsuleError: It is none, or was changed.
    """
    from dioptra_worker.tools.capsule.opening import Capsule
    from dioptra_worker.tools.capsule.replay.replaying import evaluation_of
    from dioptra_worker.tools.capsule.replay.run_folder import evaluation_of_run

    if path.is_dir():
        yield evaluation_of_run(path)
        return
    with Capsule(path) as capsule:
        if not is_ours:
            capsule.check()
        yield evaluation_of(capsule)


def tell_differences(
    first: Evaluation, second: Evaluation, *, tolerance: float, as_json: bool
) -> ExitCode:
    """Print what differs between two evaluations; what the command ends with."""
    from dioptra_worker.tools.capsule.comparison.comparing import (
        RESULTS,
        differences,
        record,
    )

    found = differences(first, second, tolerance=tolerance)
    if as_json:
        click.echo(json.dumps(record(found), indent=2))
    else:
        for difference in found:
            click.echo(one_line(str(difference)))
        if not found:
            click.echo("nothing differs")
    apart = [it for it in found if not it.within_tolerance]
    if first.seed != second.seed and any(it.kind in RESULTS for it in apart):
        seeds = " and ".join(it.seed or "one not known" for it in (first, second))
        click.echo(one_line(f"{_SEEDS}: {seeds}"), err=True)
    return ExitCode.FAILED if apart else ExitCode.OK
