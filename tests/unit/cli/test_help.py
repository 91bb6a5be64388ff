"""Every help page fits a terminal of 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from dioptra_worker.cli.main import main
from dioptra_worker.cli.start import start

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 80


def _pages(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """The help of a command and of all below it, by name."""
    with click.Context(
        command, info_name=name, parent=parent, terminal_width=WIDTH
    ) as context:
        yield context.command_path, command.get_help(context)
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                found = command.get_command(context, below)
                assert found is not None
                yield from _pages(found, below, context)


PAGES = dict([*_pages(main, "dioptra-worker"), *_pages(start, "dioptra-worker-v1")])


@pytest.mark.parametrize("name", PAGES)
def test_width(name: str) -> None:
    """No line is longer than a terminal is wide."""
    assert [line for line in PAGES[name].splitlines() if len(line) > WIDTH] == []
