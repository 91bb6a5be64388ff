"""A view of the machine in which other users can read the Python that tests run with.

Root's own Python often lies below a folder that nobody else may enter. In a mount
namespace of its own a program sees that folder open; nothing changes for anybody else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

_SCRIPT = """
for folder; do
    shift
    [ "$folder" = -- ] && break
    kept=$(mktemp -d)
    mount --bind "$folder" "$kept"
    mount -t tmpfs -o mode=755 none "$folder"
    for entry in $(ls -A "$kept"); do
        [ -d "$kept/$entry" ] || continue
        mkdir "$folder/$entry"
        mount --bind "$kept/$entry" "$folder/$entry"
    done
done
exec "$@"
"""


def prefix() -> list[str] | str:
    """A command that runs another so, empty where none is needed.

    Returns:
        The command, or why there is none.
    """
    closed = _closed_folders()
    if sys.platform != "linux" or os.geteuid():
        return "only root on Linux can let jobs run as other users"
    if not closed:
        return []
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _SCRIPT]
    command += ["sh", *closed, "--"]
    if not _works(tuple(command)):
        return f"others cannot enter {closed[0]}, and no namespace can be had"
    return command


def _closed_folders() -> list[str]:
    """The folders above the interpreter that only their owner may enter."""
    program = Path(sys.executable).resolve()
    return [str(folder) for folder in reversed(program.parents) if not _is_open(folder)]


def _is_open(folder: Path) -> bool:
    return folder.stat().st_mode & 0o001 != 0


@cache
def _works(command: tuple[str, ...]) -> bool:
    try:
        done = subprocess.run(
            [*command, sys.executable, "-c", "pass"],
            capture_output=True,
            check=False,
            timeout=30,
        )
    except OSError:
        return False
    return done.returncode == 0
