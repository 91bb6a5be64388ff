"""How much memory a process has."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes(pid: int | None = None) -> int:
    """The resident memory of a process; 0 where its system does not show it.

    Args:
        pid: Which; None is this one. One that has ended has none.
    """
    return _pages(pid)[0] * os.sysconf("SC_PAGE_SIZE")


def private_bytes(pid: int | None = None) -> int:
    """The resident memory of a process, without the pages of files, which all share.

    Args:
        pid: As of `resident_bytes`.
    """
    resident, of_files = _pages(pid)
    return (resident - of_files) * os.sysconf("SC_PAGE_SIZE")


def _pages(pid: int | None) -> tuple[int, int]:
    """All resident pages of a process, and those of files."""
    process = "self" if pid is None else str(pid)
    try:
        _, resident, of_files, *_ = Path("/proc", process, "statm").read_text().split()
    except (OSError, ValueError):
        return 0, 0
    return int(resident), int(of_files)
