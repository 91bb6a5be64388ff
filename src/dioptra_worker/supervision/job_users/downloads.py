"""The folder for downloads that all users of a worker's jobs share.

Whoever makes a file or folder in it, its group is that of all of them, and has all
rights: by the set-group-id bit and a default access list, which go from each folder to
those made in it. So one job's model is the next one's, whichever user either is.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MODE = stat.S_ISGID | stat.S_IRWXU | stat.S_IRWXG
_DEFAULT_LIST = "system.posix_acl_default"
_ENTRIES = {0x01: 7, 0x04: 7, 0x20: 0}  # owner, group, others, as `acl(5)` has them
_NO_ID = 0xFFFFFFFF
_LIST = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, _NO_ID) for tag, rights in _ENTRIES.items()
)


def share(folder: Path, group: int) -> bool:
    """Make a folder one that a group shares, if nobody has filled it yet.

    Args:
        folder: Where; made when it is missing.
        group: Its number.

    Returns:
        Whether it is such a folder now.

    Raises:
        OSError: It cannot be made, or its file system has no access lists.
    """
    folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    if is_shared(folder, group):
        return True
    if next(folder.iterdir(), None) is not None:
        return False
    os.chown(folder, -1, group)
    folder.chmod(_MODE)
    os.setxattr(folder, _DEFAULT_LIST, _LIST)
    return True


def is_shared(folder: Path, group: int) -> bool:
    """Whether a folder is one that `share` has made."""
    found = folder.stat()
    if found.st_gid != group or stat.S_IMODE(found.st_mode) != _MODE:
        return False
    return _DEFAULT_LIST in os.listxattr(folder)
