"""A line at the end of a terminal that says how far something is."""

from __future__ import annotations

import sys
import time

import click

_UPDATE_INTERVAL = 0.2
"""Seconds between two changes of it."""
_CLEAR = "\r\x1b[K"


class StatusLine:
    """The line; where standard error is no terminal there is none."""

    def __init__(self) -> None:
        self._last = 0.0

    def show(self, text: str) -> None:
        """Show a text in place of the last one, though not all the time."""
        now = time.monotonic()
        if now - self._last > _UPDATE_INTERVAL and sys.stderr.isatty():
            self._last = now
            click.echo(_CLEAR + text, nl=False, err=True)

    def clear(self) -> None:
        """Leave the terminal as it was before."""
        if self._last:
            self._last = 0.0
            click.echo(_CLEAR, nl=False, err=True)
