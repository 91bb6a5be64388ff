"""Remove a folder that somebody else has filled, whatever is in it."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import stat
import time
from pathlib import Path

REMOVAL_TIMEOUT = 300.0
"""Seconds after which the rest of a folder is left: somebody may still fill it."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH = getattr(os, "O_PATH", 0)  # Linux


def remove(path: Path, *, timeout: float = REMOVAL_TIMEOUT) -> bool:
    """Remove a file or a folder with all that is in it; never raises.

    No link is followed, nothing outside is touched, and no depth is too great: each
    folder is reached through a descriptor of its parent, and what is deeper is first
    moved up, so that there is no recursion and two descriptors are enough. Missing
    rights are taken back. Another file system that is mounted inside is left alone.

    Args:
        path: What to remove; it need not be there.
        timeout: Seconds after which the rest is left.

    Returns:
        Whether nothing is left.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError:  # a folder
        with contextlib.suppress(OSError):
            root = _open(str(path), None)
            try:
                _empty(root, time.monotonic() + timeout)
            finally:
                os.close(root)
            path.rmdir()
    return not os.path.lexists(path)


def _empty(root: int, deadline: float) -> None:
    """Remove what a folder holds, as far as that can be."""
    numbers = itertools.count()
    device = os.fstat(root).st_dev
    stuck: set[str] = set()
    while names := [name for name in os.listdir(root) if name not in stuck]:
        for name in names:
            if time.monotonic() > deadline:
                return
            if not _drop(root, name, device, numbers):
                stuck.add(name)


def _drop(root: int, name: str, device: int, numbers: itertools.count[int]) -> bool:
    """Remove one entry of the root, having moved up what is below it."""
    if _unlink(name, root):
        return True
    try:
        folder = _open(name, root)
    except OSError:
        return False
    try:
        if os.fstat(folder).st_dev != device:
            return False
        for below in os.listdir(folder):  # noqa: PTH208 - a descriptor
            if not _unlink(below, folder):
                _move_up(below, folder, root, numbers)
        os.rmdir(name, dir_fd=root)
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


def _unlink(name: str, folder: int) -> bool:
    """Remove what is no folder; a folder stays, and so does what cannot be removed."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _move_up(name: str, folder: int, root: int, numbers: itertools.count[int]) -> None:
    # What nobody can guess: a folder of that name would be in the way for ever.
    target = f".removing-{next(numbers)}-{secrets.token_hex(8)}"
    try:
        os.rename(name, target, src_dir_fd=folder, dst_dir_fd=root)
    except PermissionError:  # to move a folder, one has to be able to write to it
        _permit(name, folder)
        os.rename(name, target, src_dir_fd=folder, dst_dir_fd=root)


def _open(name: str, parent: int | None) -> int:
    """Open a folder, and no link, with all rights to what it holds."""
    try:
        folder = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        _permit(name, parent)
        folder = os.open(name, _FOLDER, dir_fd=parent)
    with contextlib.suppress(OSError):
        os.fchmod(folder, stat.S_IRWXU)
    return folder


def _permit(name: str, parent: int | None) -> None:
    """Give ourselves all rights to a folder, which may have become a link meanwhile."""
    if not _PATH:
        os.chmod(name, stat.S_IRWXU, dir_fd=parent, follow_symlinks=False)
        return
    # Linux changes no link's rights; a descriptor without rights leads to the folder.
    flags = _PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    found = os.open(name, flags, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{found}").chmod(stat.S_IRWXU)
    finally:
        os.close(found)
