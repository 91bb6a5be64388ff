"""Durations, sizes and signals as people write them: one spelling everywhere."""

from __future__ import annotations

import signal


def duration(seconds: float) -> str:
    """Seconds for people, such as ``3 min 12 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


def size(count: int) -> str:
    """Bytes for people, such as ``7.9 GiB``."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 999.5:  # would be written as 1e+03
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.3g} GiB" if amount < 1000 else f"{amount:.0f} GiB"


def signal_name(number: int) -> str:
    """A signal for people, such as ``SIGKILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
