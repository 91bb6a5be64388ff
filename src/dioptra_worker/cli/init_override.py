"""``dioptra-worker init-override``: our images in a deployment of the platform's."""

from __future__ import annotations

from pathlib import Path

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.pairs import pairs
from dioptra_worker.common.text.printable import record_lines

_EPILOG = """\b
Examples:
  dioptra-worker init-override ./dioptra-deployment
  dioptra-worker init-override lab --prefix registry.example.org/lab/
  dioptra-worker init-override lab --image lab-tabular-01=tabular-worker
  dioptra-worker init-override lab --output - | less

\b
Exit codes:
  0  the file is written
  2  there is no deployment, it has no workers, or the file is there already
"""


@click.command("init-override", epilog=_EPILOG)
@click.argument("deployment", type=click.Path(path_type=Path))
@click.option(
    "--prefix",
    default="",
    help="What stands before the images' names, such as registry.example.org/lab/.",
)
@click.option("--tag", default="", help="The images' tag.")
@click.option(
    "--image",
    "images",
    multiple=True,
    callback=pairs,
    metavar="SERVICE=IMAGE",
    help="The image for a service; for workers of your own.",
)
@click.option(
    "--output",
    help="The file to write; '-' prints it."
    "  [default: docker-compose.override.yml in the deployment]",
)
@click.pass_context
def init_override_command(
    context: click.Context,
    deployment: Path,
    prefix: str,
    tag: str,
    images: dict[str, str],
    output: str | None,
) -> None:
    """Have a deployment of the platform's template run its workers with our images.

    Reads the Compose file of DEPLOYMENT, a folder, and writes an override beside it,
    which changes the workers' image, health check and time to stop, and nothing else.
    Nothing is overwritten.
    """
    from dioptra_worker.tools.scaffold import ScaffoldError
    from dioptra_worker.tools.scaffold.deployment_override import OUTPUT, override

    folder = deployment if deployment.is_dir() else deployment.parent
    target = Path(output) if output else folder / OUTPUT
    try:
        made = override(deployment, prefix=prefix, tag=tag, images=images)
        if output == "-":
            click.echo(made.text, nl=False)
            return
        _write(target, made.text)
    except ScaffoldError as error:
        click.echo(record_lines(str(error)), err=True)
        context.exit(ExitCode.USAGE)
    for service, image in made.replaced.items():
        click.echo(f"{service}: {image}")
    for service in made.left:
        click.echo(f"{service} stays as it is; --image {service}=IMAGE changes it")
    click.echo(f"wrote {target}")


def _write(target: Path, text: str) -> None:
    from dioptra_worker.tools.scaffold import ScaffoldError

    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ScaffoldError(
            f"{str(target)!r} is there already, and nothing is overwritten: name"
            " another file with --output, and both to `docker compose` with --file."
        ) from error
    except OSError as error:
        raise ScaffoldError(
            f"{str(target)!r} cannot be written: {error.strerror}."
        ) from error
