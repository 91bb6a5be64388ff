"""``dioptra-worker sync``: what is declared, in step with the plugins' code."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import one_line, record_lines
from dioptra_worker.errors import WorkerError

_EPILOG = """\b
Examples:
  dioptra-worker sync my-evaluation/
  dioptra-worker sync --check entrypoints/

\b
Exit codes:
  0  everything is in step
  1  with --check: something is not; or a file cannot be read or written
  2  the command line is wrong
"""


@click.command("sync", epilog=_EPILOG)
@click.argument(
    "folders",
    metavar="FOLDER...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--check", is_flag=True, help="Write nothing, and say whether all is in step."
)
def sync_command(folders: tuple[Path, ...], check: bool) -> None:
    """Write anew what plugins' functions declare of themselves.

    A FOLDER has a dioptra.toml, or holds folders that have one. Its tables of tasks
    are made to name the functions that are registered and what they take; so is the
    section 'tasks' of a task graph that has one. What has not changed stays as it is,
    and so do the types that you have chosen. Code is read, not run.
    """
    from dioptra_worker.tools.resources.folders import find_folders
    from dioptra_worker.tools.workbench.projects.sync import changes

    said = 0
    try:
        for folder in find_folders(folders, form_only=True):
            found = changes(folder)
            said += len(found.said)
            for line in found.said:
                click.echo(f"{folder.path.name}: {one_line(line)}")
            if not check:
                found.write()
    except (WorkerError, OSError) as error:
        click.echo(record_lines(str(error)), err=True)
        sys.exit(ExitCode.FAILED)
    if not said:
        click.echo("all is in step")
    if check and said:
        sys.exit(ExitCode.FAILED)
