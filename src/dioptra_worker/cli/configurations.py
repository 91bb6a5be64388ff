"""``dioptra-worker configurations``: named values of an entrypoint's parameters."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    print_json,
)
from dioptra_worker.cli.pairs import pairs
from dioptra_worker.cli.tables import print_table
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.tools.lineage.configurations import Configuration


@click.group(
    "configurations",
    epilog="""
\b
Examples:
  dioptra-worker configurations list --entrypoint train
  dioptra-worker configurations create fast --entrypoint train -P epochs=1
""",
)
def configurations_group() -> None:
    """Name the values of an entrypoint's parameters, and use them again.

    A configuration belongs to an entrypoint in all its versions. It holds what differs
    from the defaults, each value in its parameter's type, so that equal ones are one.
    They are kept in MLflow, whose address MLFLOW_TRACKING_URI gives. Submit a job with
    one by `dioptra-worker jobs submit --configuration NAME`.
    """


def _entrypoint(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--entrypoint", metavar="NAME", required=True, help="Its name or id."
    )(function)


_name = click.argument("name", metavar="NAME")


@configurations_group.command(
    "list", epilog=epilog("dioptra-worker configurations list --entrypoint train")
)
@_entrypoint
@as_json
@command
def list_command(context: CommandContext, *, entrypoint: str, as_json: bool) -> None:
    """List an entrypoint's configurations; the default one has no name."""
    from dioptra_worker.tools.lineage.connections import open_configurations

    found = open_configurations(context.environment, context.client, entrypoint).all()
    if as_json:
        print_json([asdict(configuration) for configuration in found])
        return
    rows = [
        (
            one_line(entry.name),
            "archived" if entry.archived else "active",
            one_line(entry.user),
            one_line(_words(entry)),
        )
        for entry in found
    ]
    print_table([("NAME", "STATE", "USER", "VALUES"), *rows], empty="there is none")


@configurations_group.command(
    "show", epilog=epilog("dioptra-worker configurations show fast --entrypoint train")
)
@_name
@_entrypoint
@as_json
@command
def show_command(
    context: CommandContext, *, name: str, entrypoint: str, as_json: bool
) -> None:
    """Show the configuration NAME, as YAML that `create --file` takes."""
    import yaml

    from dioptra_worker.tools.lineage.connections import open_configurations

    configurations = open_configurations(
        context.environment, context.client, entrypoint
    )
    found = configurations.find(name)
    if as_json:
        print_json(asdict(found))
        return
    state = ", archived" if found.archived else ""
    click.echo(
        f"# {one_line(found.name)}, {found.id}, by {one_line(found.user)}{state}"
    )
    click.echo(yaml.safe_dump(dict(found.values), sort_keys=False), nl=False)


@configurations_group.command(
    "create",
    epilog=epilog(
        "dioptra-worker configurations create fast --entrypoint train -P epochs=1",
        "dioptra-worker configurations create --from-default --entrypoint train \\\n"
        "      > fast.yml",
        "dioptra-worker configurations create fast --entrypoint train --file fast.yml",
    ),
)
@click.argument("name", metavar="[NAME]", required=False)
@_entrypoint
@click.option(
    "-P",
    "values",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs,
    help="A value; lists and mappings as JSON.",
)
@click.option(
    "--file", type=click.File(), metavar="FILE", help="YAML with values by name."
)
@click.option(
    "--from-default",
    is_flag=True,
    help="Create nothing: print the default values as YAML, to be edited.",
)
@as_json
@command
def create_command(
    context: CommandContext,
    *,
    name: str | None,
    entrypoint: str,
    values: dict[str, str],
    file: Any,
    from_default: bool,
    as_json: bool,
) -> None:
    """Create the configuration NAME.

    It is refused if it is the default one, or if there is one with the same values or
    of the same name.
    """
    import yaml

    from dioptra_worker.tools.lineage.connections import open_configurations

    configurations = open_configurations(
        context.environment, context.client, entrypoint
    )
    if from_default:
        click.echo(yaml.safe_dump(configurations.defaults(), sort_keys=False), nl=False)
        return
    if name is None:
        raise click.UsageError("give it a NAME, or see --from-default")
    given = {**(_read(file) if file else {}), **values}
    _refuse_without("write", context, entrypoint)
    made = configurations.create(name, given, user=context.client.whoami())
    if as_json:
        print_json(asdict(made))
    else:
        click.echo(f"configuration {made.name!r}: {_words(made)}")


@configurations_group.command(
    "archive",
    epilog=epilog("dioptra-worker configurations archive fast --entrypoint train"),
)
@_name
@_entrypoint
@command
def archive_command(context: CommandContext, *, name: str, entrypoint: str) -> None:
    """Archive NAME: no new job may use it; what was made with it stays."""
    from dioptra_worker.tools.lineage.connections import open_configurations

    _refuse_without("write", context, entrypoint)
    configurations = open_configurations(
        context.environment, context.client, entrypoint
    )
    found = configurations.archive(name)
    click.echo(f"configuration {found.name!r} is archived")


@configurations_group.command(
    "unarchive",
    epilog=epilog("dioptra-worker configurations unarchive fast --entrypoint train"),
)
@_name
@_entrypoint
@command
def unarchive_command(context: CommandContext, *, name: str, entrypoint: str) -> None:
    """Have NAME used again; only an administrator of the entrypoint's group may."""
    from dioptra_worker.tools.lineage.connections import open_configurations

    _refuse_without("admin", context, entrypoint)
    configurations = open_configurations(
        context.environment, context.client, entrypoint
    )
    found = configurations.archive(name, archived=False)
    click.echo(f"configuration {found.name!r} may be used again")


@configurations_group.command(
    "delete",
    epilog=epilog("dioptra-worker configurations delete fast --entrypoint train"),
)
@_name
@_entrypoint
@command
def delete_command(context: CommandContext, *, name: str, entrypoint: str) -> None:
    """Delete NAME, unless results exist that were made with it: then archive it."""
    from dioptra_worker.tools.lineage.connections import open_configurations

    _refuse_without("write", context, entrypoint)
    open_configurations(context.environment, context.client, entrypoint).delete(name)
    click.echo(f"configuration {name!r} is deleted")


def _refuse_without(
    right: Literal["write", "admin"], context: CommandContext, entrypoint: str
) -> None:
    from dioptra_worker.tools.lineage.connections import refuse_without

    refuse_without(right, context.api, context.client, entrypoint)


def _words(configuration: Configuration) -> str:
    from dioptra_worker.provenance import canonical_text

    return ", ".join(
        f"{name}={value if isinstance(value, str) else canonical_text(value)}"
        for name, value in configuration.values.items()
    )


def _read(file: Any) -> dict[str, Any]:
    from dioptra_worker.common.text import plain_yaml

    try:
        values = plain_yaml.load(file)
    except plain_yaml.NotYaml as error:
        raise click.UsageError(f"--file {file.name}: no YAML: {error}") from None
    if not isinstance(values, dict):
        raise click.UsageError(f"--file {file.name}: values by name wanted")
    return {str(name): value for name, value in values.items()}
