"""The debugger, opened where a plugin failed."""

from __future__ import annotations

import pdb
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dioptra_worker.common.text.printable import record_lines

if TYPE_CHECKING:
    from types import FrameType, TracebackType


def open_debugger(error: BaseException, folders: list[Path]) -> None:
    """Open pdb in the innermost frame that is the plugins' own.

    Frames of the libraries that it called are further down (``down``).

    Args:
        error: What was raised.
        folders: Where the plugins lie.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [frame for frame, _ in frames if _is_in(frame, folders)]
    if not own:
        click.echo("no line of a plugin was running, so there is nothing to debug")
        return
    name = type(error).__name__
    click.secho(f"\n{name}: {record_lines(str(error))}", fg="red")
    click.echo("the debugger is in the plugin's frame: 'h' helps, 'q' ends")
    debugger = _Pdb(own[-1])
    debugger.reset()
    debugger.interaction(None, error.__traceback__)


def _is_in(frame: FrameType, folders: list[Path]) -> bool:
    file = Path(frame.f_code.co_filename)
    return any(file.is_relative_to(folder) for folder in folders)


class _Pdb(pdb.Pdb):
    """Opens in a chosen frame instead of the innermost one."""

    def __init__(self, frame: FrameType) -> None:
        super().__init__()
        self._chosen = frame

    def get_stack(
        self, f: FrameType | None, t: TracebackType | None
    ) -> tuple[list[tuple[FrameType, int]], int]:
        stack: list[tuple[FrameType, int]]
        stack, index = super().get_stack(f, t)
        places = [i for i, (frame, _) in enumerate(stack) if frame is self._chosen]
        return stack, places[-1] if places else index
