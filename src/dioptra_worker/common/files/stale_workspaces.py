"""Remove the job folders that lost workers left."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dioptra_worker.common.files.workspace import (
    host_token,
    owner_token,
    remove_all,
)

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(
    r"job-\d+-(?P<owner>(?P<host>[0-9a-f]{8})\.(?P<pid>\d+)\.[0-9a-f]{8})-\w+"
)


def remove_stale(parent: Path) -> list[Path]:
    """Remove the folders of jobs whose worker on this machine is dead.

    Args:
        parent: The folder for all jobs; other machines may use it too.

    Returns:
        What was removed.
    """
    removed = []
    for folder in parent.glob("job-*"):
        found = _NAME.fullmatch(folder.name)
        if found is None or found["host"] != host_token():
            continue
        is_stale = found["owner"] != owner_token(int(found["pid"]))
        if is_stale and remove_all(folder):
            removed.append(folder)
    return removed
