"""Durations, sizes, names and signals as people write them: one spelling everywhere."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from dioptra_worker.engine.wording import format_exception

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def duration(seconds: float) -> str:
    """Seconds for people, such as ``3 min 12 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


def precise_duration(seconds: float) -> str:
    """A measured time: ``0.31 s``, ``12.0 s``, ``3 min 12 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else coarse_duration(seconds)


def coarse_duration(seconds: float) -> str:
    """An age, by its two largest units: ``5 s``, ``25 min``, ``3 d 4 h``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if not days + hours:
        return f"{minutes} min" if minutes else f"{rest} s"
    units = [(days, "d"), (hours, "h")] if days else [(hours, "h"), (minutes, "min")]
    return " ".join(f"{value} {unit}" for value, unit in units if value)


def size(count: float) -> str:
    """Bytes for people, with three digits: ``42 B``, ``17.3 KiB``, ``7.9 GiB``."""
    for unit in _UNITS[:-1]:
        if count < 999.5:  # else it would be written as 1e+03
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} {_UNITS[-1]}" if count < 999.5 else f"{count:.0f} {_UNITS[-1]}"


def first_line(error: BaseException, *, limit: int = 400) -> str:
    """What an error says, without what libraries add below; shortened when long."""
    lines = str(error).strip().splitlines() or [format_exception(error)]
    return lines[0][:limit]


def some_of(names: Sequence[str], most: int) -> str:
    """Quote the first of some names, and count the others: ``'a', 'b' and 1,234 more``.

    Args:
        names: All of them.
        most: How many to quote.
    """
    shown = ", ".join(map(repr, names[:most]))
    more = len(names) - most
    return f"{shown} and {more:,} more" if more > 0 else shown


def signal_name(number: int) -> str:
    """A signal for people, such as ``SIGKILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
