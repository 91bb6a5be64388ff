"""``dioptra-worker init-image``: a container image of one's own, begun."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import record_lines

_EPILOG = """\b
Examples:
  dioptra-worker init-image my-worker
  dioptra-worker init-image tabular --queue tabular-cpu --dir images/tabular
  dioptra-worker init-image tabular --cookiecutter --dir worker-template

\b
Exit codes:
  0  the project is written
  2  a name cannot be used, or the folder is not empty or cannot be written
"""


@click.command("init-image", epilog=_EPILOG)
@click.argument("name")
@click.option("--queue", help="The queue that it serves.  [default: NAME]")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write it; a folder that is new or empty.  [default: NAME]",
)
@click.option(
    "--cookiecutter",
    is_flag=True,
    help="Write a template for cookiecutter that makes such projects, and asks for"
    " their names.",
)
@click.pass_context
def init_image_command(
    context: click.Context,
    name: str,
    queue: str | None,
    directory: Path | None,
    *,
    cookiecutter: bool,
) -> None:
    """Write a small project for a worker image called NAME.

    A Dockerfile, the packages to install, a Compose file, and a check for CI, all
    commented. Nothing is overwritten.
    """
    from dioptra_worker.tools.scaffold import ScaffoldError, write

    try:
        files = write(
            name, queue or name, directory or Path(name), cookiecutter=cookiecutter
        )
    except ScaffoldError as error:
        click.echo(record_lines(str(error)), err=True)
        context.exit(ExitCode.USAGE)
    for file in files:
        click.echo(f"wrote {file}")
    if cookiecutter:
        click.echo(f"Next: cookiecutter {shlex.quote(str(directory or Path(name)))}")
        return
    click.echo(f"Next: put what your plugins import into {files[1]}, then {files[3]}")
