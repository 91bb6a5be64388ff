"""Folders that are known to be somebody's as long as that process lives.

A process id does not say so: in another namespace of them, such as another container's
that shares the folder's parent, it is nobody's or another's. So whoever makes a folder
also holds a lock on it, which the system frees with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def make_held(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make a folder with a name of its own, for our user alone, and hold it.

    Args:
        parent: Where.
        prefix: What its name begins with.

    Returns:
        The folder, and the descriptor that holds it until it is closed.

    Raises:
        OSError: It cannot be made.
    """
    # It gets its name once it is held: whoever looks for stale ones goes by names.
    made = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=parent))
    try:
        descriptor = os.open(made, _FOLDER)
    except OSError:
        made.rmdir()
        raise
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return made.rename(made.with_name(made.name[1:])), descriptor
    except OSError:
        os.close(descriptor)
        raise


def is_held(folder: Path) -> bool:
    """Whether somebody holds a folder, or nobody can tell.

    On a file system without locks nobody holds any.
    """
    try:
        descriptor = os.open(folder, _FOLDER)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
