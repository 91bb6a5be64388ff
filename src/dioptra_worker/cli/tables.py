"""Tables of the people's command: cut to the terminal, with tabs elsewhere."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.table_layout import aligned, tabbed

if TYPE_CHECKING:
    from collections.abc import Sequence


def print_table(rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print a table.

    Args:
        rows: The cells; the first row is the head.
        empty: What a person is told when there are no others.
    """
    if not sys.stdout.isatty():
        click.echo("\n".join(tabbed(rows)))
        return
    head, *lines = aligned(rows, width=shutil.get_terminal_size().columns)
    click.secho("".join(head), dim=True)
    for cells in lines:
        click.echo("".join(cells))
    if not lines:
        click.secho(empty, dim=True)
