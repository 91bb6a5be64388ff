"""Remove the folders that lost workers and fork servers left."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from dioptra_worker.common.files.held_folder import is_held
from dioptra_worker.common.files.workspace import (
    host_token,
    owner_token,
    remove_all,
)

FORKSERVER_HOME = "dioptra-forkserver"
"""What the names of fork servers' own folders begin with."""

_NAME = re.compile(
    r"(?P<kind>[a-z-]+)(-\d+)?"
    r"-(?P<owner>(?P<host>[0-9a-f]{8})\.(?P<pid>\d+)\.[0-9a-f]{8})-\w+"
)


def remove_stale(parent: Path, *, kind: str = "job") -> list[Path]:
    """Remove folders of this machine whose process is dead and that nobody holds.

    Args:
        parent: The folder for all of them; other machines may use it too.
        kind: What their names begin with.

    Returns:
        What was removed.
    """
    removed = []
    for folder in parent.glob(f"{kind}-*"):
        found = _NAME.fullmatch(folder.name)
        if found is None or (found["kind"], found["host"]) != (kind, host_token()):
            continue
        if found["owner"] == owner_token(int(found["pid"])):
            continue
        if _is_removable(folder) and not is_held(folder) and remove_all(folder):
            removed.append(folder)
    return removed


def remove_forkserver_homes() -> None:
    """Remove the folders of fork servers of this machine that were killed."""
    remove_stale(Path(tempfile.gettempdir()), kind=FORKSERVER_HOME)


def _is_removable(folder: Path) -> bool:
    """Whether it is ours, or anybody's that the system lets us remove."""
    try:
        return os.geteuid() in (0, folder.lstat().st_uid)
    except FileNotFoundError:
        return False
