"""A process and all below it: how much memory and processor time they take.

Memory is the proportional set size (PSS): a page that several processes share, such
as what a forked runner has of its fork server, counts once in all and not once in each.
"""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
_KILLED_SECONDS = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")


def processes(pid: int) -> set[int]:
    """The process ids of a process and all below it."""
    found = {pid}
    with suppress(OSError):  # it, or one of its threads, may end meanwhile
        for task in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    found |= processes(int(child))
    return found


def signal_each(pids: set[int], number: int) -> None:
    """Send a signal to each of some processes that has not ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def pss_mib(pid: int) -> float:
    """The memory of a process and all below it, in MiB."""
    return sum(map(_pss_kib, processes(pid))) / 1024


def cpu_seconds(pid: int) -> float:
    """The processor time of a process, all below it, and all that it has reaped."""
    return sum(map(_ticks, processes(pid))) / _TICKS


def runs(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def end(pids: set[int], patience: float) -> None:
    """Kill those that do not end by themselves within some seconds."""
    signal_each(_left(pids, patience), signal.SIGKILL)
    _left(pids, _KILLED_SECONDS)


def _left(pids: set[int], seconds: float) -> set[int]:
    """Wait until processes have ended; those that have not."""
    deadline = time.monotonic() + seconds
    while left := set(filter(runs, pids)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return left


class MemorySamples:
    """What a tree's memory was, from time to time; in MiB."""

    def __init__(self) -> None:
        self.values: list[float] = []

    @property
    def peak(self) -> float:
        """The most."""
        return max(self.values)

    @property
    def typical(self) -> float:
        """The median."""
        return statistics.median(self.values)


@contextmanager
def watched(pid: int, *, every: float = 0.25) -> Iterator[MemorySamples]:
    """Sample a tree's memory until the end of the block, at least once."""
    samples = MemorySamples()
    over = threading.Event()

    def sample() -> None:
        while True:
            samples.values.append(pss_mib(pid))
            if over.wait(every):
                return

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _pss_kib(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _ticks(pid: int) -> int:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` behind the name, from the state on."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
