"""``dioptra-worker capsule replay``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from dioptra_worker.cli.capsule.common import (
    capsule_file,
    prepare_to_run,
    run_once,
    store_option,
    tolerance_option,
)
from dioptra_worker.cli.evidence.common import sentences
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from dioptra_worker.tools.capsule.comparison.comparing import Difference
    from dioptra_worker.tools.capsule.opening import Capsule
    from dioptra_worker.tools.capsule.replay.replaying import Replayed

_EPILOG = """\b
Examples:
  dioptra-worker capsule replay 42.crate.zip
  dioptra-worker capsule replay --here 42.crate.zip
  dioptra-worker capsule replay 42.crate.zip --tolerance 1e-6 --json

\b
Exit codes:
  0  it ended as before, with equal metrics and artifacts
  1  it did not, which is said; or nothing is run, as the capsule was changed
  2  the command line is not usable
  130  it was interrupted
"""


@click.command("replay", epilog=_EPILOG)
@capsule_file
@click.option(
    "--here",
    is_flag=True,
    help="Run it with the packages of this environment, and say which differ.",
)
@store_option("the run")
@tolerance_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def replay_command(
    file: Path, *, here: bool, store: Path, tolerance: float, as_json: bool
) -> None:
    """Run the job in the capsule FILE again, and compare what comes of it.

    It runs as 'dioptra-worker run' runs an entrypoint, without any service, with the
    packages that were recorded: they are installed once, by uv, into an environment
    that is kept. Nothing is run of a capsule that was changed.
    """
    from dioptra_worker.tools.capsule.opening import Capsule

    with sentences(), Capsule(file) as capsule:
        capsule.check()
        if not here:
            _go_on_in_its_environment(capsule, store, tolerance, as_json=as_json)
        differing = _packages(capsule)
        if not as_json:
            for difference in differing:
                click.echo(f"{one_line(str(difference))} here")
        replayed, interrupted = _replay(capsule, store, as_json=as_json)
        found = _compare(capsule, replayed, tolerance)
    _report(replayed, found, differing, as_json=as_json)
    if interrupted:
        sys.exit(ExitCode.INTERRUPTED)
    same = all(one.within_tolerance for one in found)
    sys.exit(ExitCode.OK if same else ExitCode.FAILED)


def _go_on_in_its_environment(
    capsule: Capsule, store: Path, tolerance: float, *, as_json: bool
) -> NoReturn:
    """Be the same command in an environment with the recorded packages.

    In this very process: so signals, and its end, are the command's own.
    """
    from dioptra_worker.tools.capsule.replay.environments import ensure
    from dioptra_worker.tools.local.paths import default_cache

    given = os.environ.get("DIOPTRA_WORKER_CACHE_DIR")
    cache = Path(given) if given else default_cache()
    if not as_json:
        click.echo("making the environment with the recorded packages, if need be")
    python = ensure(capsule.manifest.environment, cache.absolute())
    command = [str(python), "-P", "-m", "dioptra_worker.cli.main", "capsule", "replay"]
    command += [str(capsule.archive.path), "--here", "--store", str(store)]
    command += ["--tolerance", repr(tolerance), *(["--json"] if as_json else [])]
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - there is none to go through


def _packages(capsule: Capsule) -> list[Difference]:
    from dioptra_worker.tools.capsule.replay.replaying import package_differences

    return package_differences(capsule.manifest)


def _replay(capsule: Capsule, store: Path, *, as_json: bool) -> tuple[Replayed, bool]:
    from dioptra_worker.tools.capsule.replay.replaying import recorded_seed
    from dioptra_worker.tools.workbench.running.display import Display

    prepare_to_run()
    return run_once(
        capsule,
        store,
        seed=recorded_seed(capsule.manifest),
        listener=None if as_json else Display(),
    )


def _compare(
    capsule: Capsule, replayed: Replayed, tolerance: float
) -> list[Difference]:
    from dioptra_worker.tools.capsule.replay.replaying import result_differences

    return result_differences(capsule, replayed, tolerance=tolerance)


def _report(
    replayed: Replayed,
    found: list[Difference],
    differing: list[Difference],
    *,
    as_json: bool,
) -> None:
    from dioptra_worker.tools.capsule.comparison.comparing import record

    if as_json:
        document = {
            "status": replayed.result.status,
            "reason": replayed.result.reason,
            "run": replayed.result.run_id,
            "metrics": {
                name: {str(step): value for step, value in steps.items()}
                for name, steps in replayed.evaluation.metrics.items()
            },
            "differences": record(found),
            "packages": record(differing),
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo()
    for one in found:
        click.echo(one_line(str(one)))
    if not found:
        click.echo(f"{replayed.result.status}: the results are the same, bit by bit")
    elif all(one.within_tolerance for one in found):
        click.echo(f"{replayed.result.status}: the results are equal in value")
    else:
        click.echo(f"{replayed.result.status}: the results differ", err=True)
