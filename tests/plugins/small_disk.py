"""A disk that is full soon; making one needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own at a folder, until the end of the block.

    Args:
        folder: Where; it is made.
        size: How large, such as ``"3m"``.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs"]
    subprocess.run([*command, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def may_mount() -> bool:
    """Whether this process can make one."""
    return sys.platform == "linux" and os.geteuid() == 0 and bool(shutil.which("mount"))
