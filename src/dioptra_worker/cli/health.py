"""``dioptra-worker health``: the container's check, in milliseconds.

It imports nothing that the daemon needs and it does not: see
`dioptra_worker.daemon.health.heartbeat_file`.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import spelt_out
from dioptra_worker.daemon.health.heartbeat_file import (
    MAX_AGE,
    Heartbeat,
    NoHeartbeat,
    candidates,
)

_EPILOG = """\b
Examples:
  dioptra-worker health
  dioptra-worker health --max-age 60
  dioptra-worker health --file health-17.json

\b
Exit codes:
  0  the worker is alive, whatever it waits for
  1  it is not, or there is none
"""


def default_work_dir() -> Path:
    """The work folder unless another is set; the settings say the same, slowly."""
    import tempfile

    return Path(tempfile.gettempdir()) / f"dioptra-worker-{os.getuid()}"


@click.command("health", epilog=_EPILOG)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    default=Path("health-{name}.json"),
    envvar="DIOPTRA_WORKER_HEALTH_FILE",
    help="The heartbeat file, also relative to the work folder.  [default: all"
    " that are there; env: DIOPTRA_WORKER_HEALTH_FILE]",
)
@click.option(
    "--max-age",
    type=click.FloatRange(min=0),
    default=MAX_AGE,
    show_default=True,
    metavar="SECONDS",
    help="How old the last heartbeat may be.",
)
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path),
    default=default_work_dir,
    envvar="DIOPTRA_WORKER_WORK_DIR",
    help="The worker's work folder.  [default: as for the worker; env:"
    " DIOPTRA_WORKER_WORK_DIR]",
)
@click.pass_context
def health_command(
    context: click.Context, file: Path, max_age: float, work_dir: Path
) -> None:
    """See whether the worker on this machine is alive, with all of its slots.

    It reads the file in which the worker says so every few seconds. A worker that
    waits for a service is alive; one whose main loop is stuck is not.
    """
    try:
        paths = _living(candidates(file, work_dir=work_dir), file, work_dir)
        heartbeats = [Heartbeat.read(path) for path in paths]
    except NoHeartbeat as error:
        click.echo(spelt_out(str(error)))
        context.exit(ExitCode.FAILED)
    healthy = True
    for heartbeat in heartbeats:
        age = heartbeat.age()
        if age > max_age:
            healthy = False
            click.echo(
                f"worker {heartbeat.pid} has not been heard of for {age:.0f} s; it was"
                f" {spelt_out(heartbeat.words)}"
            )
        elif len(heartbeats) > 1:
            click.echo(f"worker {heartbeat.pid} is {spelt_out(heartbeat.words)}")
        else:
            click.echo(spelt_out(heartbeat.words))
    if not healthy:
        context.exit(ExitCode.FAILED)


def _living(found: list[Path], file: Path, work_dir: Path) -> list[Path]:
    """The files to judge by; those of dead workers do not count beside a living one."""
    if len(found) > 1:
        from dioptra_worker.daemon.health.reporter import is_dead

        found = [path for path in found if not is_dead(path)] or found[:1]
    if not found:
        raise NoHeartbeat(
            f"no worker has written {str(work_dir / file)!r}: none runs, or"
            " DIOPTRA_WORKER_WORK_DIR and DIOPTRA_WORKER_HEALTH_FILE are not the same"
            " here and there"
        )
    return found
