"""``dioptra-worker import``: plugins and entrypoints from folders into a Dioptra."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from dioptra_worker.cli.exit_codes import exit_code
from dioptra_worker.cli.ids import Id
from dioptra_worker.common.text.printable import one_line, record_lines, spelt_out
from dioptra_worker.errors import ServiceError, SettingsError
from dioptra_worker.tools.resources.errors import BadResources, ResourceError
from dioptra_worker.tools.resources.findings import refusals
from dioptra_worker.tools.resources.folders import CONFIG
from dioptra_worker.tools.resources.importing import PUBLIC_GROUP, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.resources.changes import Changes
    from dioptra_worker.tools.resources.importing import Imported

_EPILOG = """\b
Examples:
  eval "$(dioptra-worker local env)" && dioptra-worker import entrypoints/
  dioptra-worker import --group 2 my-evaluation/
  dioptra-worker import --json entrypoints/hello-world | jq '.[].entrypoints'

\b
Environment (required):
  DIOPTRA_API
  DIOPTRA_WORKER_USERNAME
  DIOPTRA_WORKER_PASSWORD  or DIOPTRA_WORKER_PASSWORD_FILE, the path of a file

\b
Exit codes:
  0  everything is imported
  1  something is wrong with a folder, or the API refused it
  2  the command line or the environment is not usable
  3  the API refused the login
"""


@click.command("import", epilog=_EPILOG)
@click.argument(
    "folders",
    metavar="FOLDER...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--group",
    type=Id("group", "see the groups in Dioptra"),
    default=PUBLIC_GROUP,
    show_default=True,
    metavar="ID",
    help="The group that is to own what is imported.",
)
@click.option(
    "--on-conflict",
    "strategy",
    type=click.Choice(get_args(Strategy)),
    default="update",
    show_default=True,
    help="Where a name is taken: change what is there, put a new one in its place, or "
    "import nothing.",
)
@click.option(
    "--config",
    "name",
    metavar="NAME",
    default=CONFIG,
    show_default=True,
    help="How the file is called that says what a folder has.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead.")
def import_command(
    folders: tuple[Path, ...],
    group: int,
    strategy: Strategy,
    name: str,
    as_json: bool,
) -> None:
    """Import plugins and entrypoints into a Dioptra.

    A FOLDER has a dioptra.toml, or holds folders that have one. Each is checked as
    'dioptra-worker validate' does, and imported as a whole or not at all; the first
    that is wrong ends the command. Of a plugin the
    platform keeps Python files only; the other files are named, and no job has them.
    """
    done: list[Imported] = []
    try:
        for imported in _imports(folders, name=name, group=group, strategy=strategy):
            done.append(imported)
            if not as_json:
                click.echo(_lines(imported))
    except (SettingsError, ResourceError, ServiceError) as error:
        click.echo(record_lines(str(error)), err=True)
        sys.exit(exit_code(error))
    finally:
        if as_json:
            click.echo(json.dumps([_record(imported) for imported in done], indent=2))


def _imports(
    paths: tuple[Path, ...], *, name: str, group: int, strategy: Strategy
) -> Iterator[Imported]:
    """Check one folder after the other, and import it."""
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.resources.account import Account
    from dioptra_worker.tools.resources.folders import find_folders
    from dioptra_worker.tools.resources.importing import import_folder
    from dioptra_worker.tools.workbench.planning.checking import check_folder

    account = Account.read(os.environ)
    folders = find_folders(paths, name=name)
    with account.session() as api:
        client = UserClient(api)
        for folder in folders:
            found = check_folder(folder)
            if refusals(found):
                raise BadResources(found)
            for finding in found:
                click.echo(spelt_out(str(finding)), err=True)
            yield import_folder(client, folder, group=group, strategy=strategy)


def _lines(imported: Imported) -> str:
    kinds = {
        "entrypoints": imported.entrypoints,
        "plugins": imported.plugins,
        "types": imported.types,
    }
    rows = [
        f"  {kind:<12}{', '.join(f'{name} (id {id_})' for name, id_ in ids.items())}"
        for kind, ids in kinds.items()
        if ids
    ]
    if were := ", ".join(_were_there(imported.before)):
        rows.append(f"  {'were there':<12}{were}")
    rows += [f"  {'redefined':<12}{one}" for one in imported.before.sentences()]
    if imported.left_out:
        rows.append(
            f"  {'left out':<12}{', '.join(map(one_line, imported.left_out))}: the"
            " platform keeps only Python files of a plugin"
        )
    return "\n".join([f"imported {imported.folder.name}", *rows])


def _were_there(before: Changes) -> Iterator[str]:
    kinds = {
        "entrypoint": before.entrypoints,
        "plugin": before.plugins,
        "type": before.types,
    }
    for kind, names in kinds.items():
        if names:
            plural = "s" if len(names) > 1 else ""
            yield f"{kind}{plural} {', '.join(map(one_line, names))}"


def _record(imported: Imported) -> dict[str, object]:
    return {
        "folder": str(imported.folder),
        "entrypoints": dict(imported.entrypoints),
        "plugins": dict(imported.plugins),
        "types": dict(imported.types),
        "left_out": list(imported.left_out),
        "were_there": {
            "entrypoints": list(imported.before.entrypoints),
            "plugins": list(imported.before.plugins),
            "types": list(imported.before.types),
        },
        "redefined": {
            name: {"was": was, "is": is_}
            for name, (was, is_) in imported.before.redefined.items()
        },
    }
