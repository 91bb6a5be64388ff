"""Every help page fits a terminal of 80 columns, and shows how a command is used."""

from __future__ import annotations

import re
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
GROUPS = {name for name, page in PAGES.items() if "COMMAND [ARGS]..." in page}


@pytest.mark.parametrize("name", PAGES)
def test_width(name: str) -> None:
    """No line is longer than a terminal is wide."""
    assert [line for line in PAGES[name].splitlines() if len(line) > WIDTH] == []


@pytest.mark.parametrize("name", [name for name in PAGES if name not in GROUPS])
def test_examples(name: str) -> None:
    """Each command has command lines to begin with."""
    _, _, examples = PAGES[name].partition("Examples:")
    name = name.replace("dioptra-worker start", "dioptra-worker-v1")
    assert re.search(rf"^ +(\w+=\S+ )?{name}\b", examples, re.MULTILINE)
