"""What stays of jobs' users where workers have them: locks, which hold nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def assert_locks_only(folder: Path) -> None:
    """A folder, which need not be there, has empty files named by numbers only."""
    for path in folder.glob("*"):
        assert path.is_file(), path
        assert path.name.isdecimal(), path
        assert path.stat().st_size == 0, path
