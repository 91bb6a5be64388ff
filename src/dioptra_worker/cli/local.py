"""``dioptra-worker local``: a whole Dioptra on one machine."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.lazy import UnusablePlace
from dioptra_worker.cli.terminal import unmasked_output
from dioptra_worker.common.files.trusted_folder import UntrustedFolder
from dioptra_worker.common.text.printable import spelt_out
from dioptra_worker.tools.local.config import SERVICES
from dioptra_worker.tools.local.environment import FORMATS
from dioptra_worker.tools.local.errors import NoStack, StackError
from dioptra_worker.tools.local.paths import default_cache, default_directory
from dioptra_worker.tools.local.progress import State
from dioptra_worker.tools.local.stack import LocalStack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dioptra_worker.tools.local.progress import Step
    from dioptra_worker.tools.local.services.service import Health

_OTHER_FOLDERS = (
    "Name other folders with --dir, the stack's, and --cache, what stacks share."
)
_MARKS = {State.DONE: "✓", State.FAILED: "✗", State.NOTE: "·"}

cache_option = click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DIOPTRA_WORKER_CACHE_DIR",
    default=default_cache,
    help="Where the REST API's environment is kept between stacks.  "
    "[default: your cache folder; env: DIOPTRA_WORKER_CACHE_DIR]",
)
"""An option of every command that brings up a stack."""


def _common(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every command, and turn errors into sentences."""

    @wraps(function)
    def translated(*arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
        except StackError as error:
            raise click.ClickException(str(error)) from error
        except UntrustedFolder:
            raise  # it says what to do
        except OSError as error:
            if not isinstance(error.filename, str | bytes):
                raise
            raise UnusablePlace(error, _OTHER_FOLDERS) from error

    directory = click.option(
        "--dir",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="DIOPTRA_WORKER_LOCAL_DIR",
        default=default_directory,
        help="The stack's folder.  [default: one in your home, see the guide; "
        "env: DIOPTRA_WORKER_LOCAL_DIR]",
    )
    return directory(cache_option(translated))


def _examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


@click.group(
    "local",
    epilog=_examples(
        "dioptra-worker local up --queue local --queue gpu",
        'eval "$(dioptra-worker local env)" && dioptra-worker start local',
        "dioptra-worker local down",
    ),
)
def local_group() -> None:
    """Run a whole Dioptra on this machine, without Docker.

    Valkey, the real Dioptra REST API, MLflow and an S3 endpoint, all on 127.0.0.1.
    """


@local_group.command(
    epilog=_examples(
        "dioptra-worker local up",
        "dioptra-worker local up --dir demo --queue cpu --queue gpu --port api=5000",
    )
)
@_common
@click.option(
    "--queue",
    "queues",
    multiple=True,
    default=["local"],
    show_default=True,
    callback=lambda _context, _parameter, names: _queue_names(names),
    help="A queue to register; may be given several times.",
)
@click.option(
    "--port",
    "ports",
    multiple=True,
    metavar="SERVICE=PORT",
    callback=lambda _context, _parameter, pairs: _ports(pairs),
    help=f"A fixed port for one of {', '.join(SERVICES)}.  [default: free ones]",
)
@click.option(
    "--proxied-artifacts",
    is_flag=True,
    help="Let artifacts pass through MLflow instead of going to S3 directly.",
)
@click.option(
    "--peer-python",
    envvar="DIOPTRA_WORKER_PEER_PYTHON",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The interpreter of an environment that has dioptra-platform, to be used "
    "instead of one made for the stack.  [env: DIOPTRA_WORKER_PEER_PYTHON]",
)
@click.option(
    "--full-peer",
    is_flag=True,
    help="Install all that dioptra-platform declares (800 MB), not only what its REST "
    "API, worker and client import (185 MB).",
)
def up(
    directory: Path,
    cache: Path,
    queues: tuple[str, ...],
    ports: dict[str, int],
    proxied_artifacts: bool,
    peer_python: Path | None,
    full_peer: bool,
) -> None:
    """Bring the stack up; mend it if it runs in part."""
    stack = LocalStack.up(
        directory,
        queues=queues,
        proxied_artifacts=proxied_artifacts,
        peer_python=peer_python,
        full_peer=full_peer,
        ports=ports,
        cache=cache,
        progress=show_step,
    )
    state = "was running already" if stack.was_running else "is up"
    click.echo(f"The local stack {state}, in {stack.directory}")
    for health in stack.status():
        click.echo(service_line(health))
    click.echo(f"Next: {what_next(directory, stack.config.queues)}")


@local_group.command(
    epilog=_examples(
        "dioptra-worker local down", "dioptra-worker local down --dir demo --keep"
    )
)
@_common
@click.option("--keep", is_flag=True, help="Leave the folder for the next `up`.")
def down(directory: Path, cache: Path, keep: bool) -> None:
    """End every process of the stack and remove its folder.

    Who interrupts it gives the same command again: it goes on from there.
    """
    try:
        stack = LocalStack.attach(directory, cache=cache)
    except NoStack:
        click.echo(f"There is no local stack in {directory}: nothing to do.")
        return
    stack.down(keep=keep)
    click.echo(f"The local stack in {directory} is down.")


@local_group.command(
    epilog=_examples(
        "dioptra-worker local status",
        "dioptra-worker local status --json | jq -r '.[].url'",
    )
)
@_common
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def status(context: click.Context, directory: Path, cache: Path, as_json: bool) -> None:
    """Show each service; exit with 0 when all are healthy, else with 1."""
    services = LocalStack.attach(directory, cache=cache).status()
    if as_json:
        click.echo(json.dumps([asdict(health) for health in services], indent=2))
    else:
        for health in services:
            click.echo(service_line(health))
    context.exit(0 if all(health.healthy for health in services) else 1)


@local_group.command(
    epilog=_examples(
        'eval "$(dioptra-worker local env)"',
        "dioptra-worker local env --format dotenv > worker.env",
    )
)
@_common
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="shell",
    show_default=True,
    help="shell is for `eval`, dotenv for `docker --env-file`.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
def env(directory: Path, cache: Path, form: str) -> None:
    """Print the environment that a worker or a client of the stack needs.

    It holds passwords.
    """
    variables = LocalStack.attach(directory, cache=cache).environment()
    click.echo(FORMATS[form](variables), file=unmasked_output())


def what_next(directory: Path, queues: Sequence[str]) -> str:
    """What to type to have a worker on a stack, as a shell takes it."""
    option = ["--dir", str(directory)] if directory != default_directory() else []
    environment = shlex.join(["dioptra-worker", "local", "env", *option])
    start = shlex.join(["dioptra-worker", "start", *queues])
    return f'eval "$({environment})" && {start}'


def _queue_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse now what the API would refuse once everything is up."""
    from dioptra_worker.tools.resources.names import FITTING, fits

    for name in names:
        if not fits(name):
            raise click.BadParameter(f"{name!r} cannot name a queue: {FITTING}.")
    return names


def _ports(pairs: tuple[str, ...]) -> dict[str, int]:
    ports = {}
    for pair in pairs:
        service, _, port = pair.partition("=")
        if service not in SERVICES or not port.isdigit() or not 0 < int(port) < 65536:
            raise click.BadParameter(
                f"{pair!r} is not SERVICE=PORT with one of {', '.join(SERVICES)} and "
                "a port, such as api=5000."
            )
        ports[service] = int(port)
    return ports


def show_step(step: Step) -> None:
    """Tell that a part of a stack is up, or takes a while."""
    if step.state is State.STARTED:
        if step.name.startswith("install"):
            click.echo(f"… {step.name}: {spelt_out(step.detail)}", err=True)
        return
    took = "" if step.state is State.NOTE else f" {step.seconds:6.1f} s"
    click.echo(
        f"{_MARKS[step.state]} {step.name:<32}{took}  {spelt_out(step.detail)}",
        err=True,
    )


def service_line(health: Health) -> str:
    """Where a service is, and how."""
    state = "healthy" if health.healthy else health.problem
    pid = f"pid {health.pid}" if health.pid else "no process"
    return f"  {health.name:<8}{health.url:<28}{pid:<13}{state}"


if __name__ == "__main__":
    local_group()
