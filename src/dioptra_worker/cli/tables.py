"""Tables: aligned and cut to the terminal for people, with tabs for programs."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_GAP = "  "
_MIN_WIDTH = 8
"""Columns of a terminal that a cell keeps when there is not enough room."""


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


def tabbed(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with tabs between the cells."""
    return ["\t".join(row) for row in rows]


def aligned(
    rows: Sequence[Sequence[str]], *, width: int, elastic: Collection[int] = ()
) -> list[list[str]]:
    """Pad the cells of each column to one width, and cut the longest ones to fit.

    Args:
        rows: The cells; the same number in every row.
        width: The terminal's, in columns.
        elastic: Which columns give way first, by their place.

    Returns:
        The rows, their cells padded but for the last.
    """
    if not rows:
        return []
    widths = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    room = width - len(_GAP) * (len(widths) - 1)
    for places in (elastic, range(len(widths))):
        _squeeze(widths, room, places)
    last = len(widths) - 1
    return [
        [
            cut(cell, wide) if place == last else padded(cut(cell, wide), wide) + _GAP
            for place, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]


def _squeeze(widths: list[int], room: int, places: Collection[int]) -> None:
    """Take from the widest of some columns until all fit, or these are narrow."""
    while places and sum(widths) > room:
        widest = max(places, key=widths.__getitem__)
        if widths[widest] <= _MIN_WIDTH:
            return
        widths[widest] -= 1


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(_columns(letter) for letter in text)


def cut(text: str, width: int) -> str:
    """Text that takes at most so many columns."""
    if columns(text) <= width:
        return text
    kept = ""
    for letter in text:
        if columns(kept + letter) > width - 1:
            break
        kept += letter
    return kept + "…"


def padded(text: str, width: int) -> str:
    """Text with spaces behind it, up to a number of columns."""
    return text + " " * (width - columns(text))


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
