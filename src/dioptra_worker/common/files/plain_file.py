"""Small things that are easily done wrong with a file where others may write."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedReader


def open_plain(path: Path) -> BufferedReader | None:
    """Open a file to be read; None for what is none, such as a link or a pipe.

    Raises:
        OSError: It is not there, or may not be read.
    """
    # A pipe that nobody writes to must not hold us up.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")  # noqa: PTH123 - its caller closes it
    os.close(descriptor)
    return None


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in the place of the one that is there, in one step, for our user only.

    Raises:
        OSError: It cannot be written; the one that is there stays.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    draft = Path(name)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
