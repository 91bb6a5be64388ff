"""``dioptra-worker init``: a folder with a plugin and a task graph, begun."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import record_lines
from dioptra_worker.errors import WorkerError

_EPILOG = """\b
Examples:
  dioptra-worker init my-evaluation
  dioptra-worker init --dir evaluations/first my-evaluation
  dioptra-worker init --from-plugins my-evaluation

\b
Exit codes:
  0  the files are written
  2  the name cannot be used, a file is there already or cannot be written, or
     there are no plugins
"""


@click.command("init", epilog=_EPILOG)
@click.argument("name")
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write it.  [default: NAME]",
)
@click.option(
    "--from-plugins",
    is_flag=True,
    help="The folder has plugins already, in 'plugins': write the dioptra.toml and a"
    " task graph from what their functions take.",
)
def init_command(name: str, directory: Path | None, from_plugins: bool) -> None:
    """Begin a folder NAME with plugins and an entrypoint of that name.

    A plugin, what keeps its results, a task graph, a dioptra.toml that declares them,
    and a test. All of it works as it is. Nothing is overwritten.
    """
    from dioptra_worker.tools.workbench.projects import beginning

    folder = directory or Path(name)
    name = name if directory else folder.absolute().name
    begin = beginning.from_plugins if from_plugins else beginning.new
    try:
        files = begin(name, folder)
    except WorkerError as error:
        click.echo(record_lines(str(error)), err=True)
        sys.exit(ExitCode.USAGE)
    for file in files:
        click.echo(f"wrote {file}")
    click.echo(f"Next: dioptra-worker run {shlex.quote(str(folder))}")
