"""Folders that we believe: what lies there is run, unpacked into, or read back.

In a folder for everybody, such as ``/tmp``, another user can make a folder of our name
before we do, fill it with code of theirs, or have it be a link. So each folder on the
way to ours is looked at: its owner must be we or root, and nobody else may be able to
write to it, or, where everybody may, to replace what is not theirs (the sticky bit).
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
from pathlib import Path

PRIVATE_MODE = 0o700
_ROOT = 0
_MAX_LINKS = 40
"""Links that may lead to one folder, as the system has it (ELOOP)."""


class UntrustedFolder(PermissionError):
    """Somebody else could change what is in a folder.

    It is a `PermissionError`, since whoever can do without a folder that cannot be
    used can do without this one, too.
    """

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(errno.EPERM, reason, str(folder))

    def __str__(self) -> str:
        return f"{self.filename} cannot be trusted: {self.strerror}"


def make_private(folder: Path) -> None:
    """Make a folder for us alone, and what is missing on the way to it.

    What is there already stays as it is, and is looked at.

    Raises:
        UntrustedFolder: Somebody else could change what is in it.
        OSError: It cannot be made.
    """
    folder = folder.absolute()
    make_parents(folder)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(PRIVATE_MODE)
    check(folder)


def make_parents(path: Path) -> None:
    """Make the folders on the way to a path that are missing, for us alone."""
    missing = []
    for parent in path.absolute().parents:
        if os.path.lexists(parent):
            break
        missing.append(parent)
    for parent in reversed(missing):
        parent.mkdir(PRIVATE_MODE, exist_ok=True)


def check(folder: Path) -> None:
    """See that only we and root can change what is in a folder.

    Args:
        folder: A folder that is there, or a link to one.

    Raises:
        UntrustedFolder: Somebody else can.
        OSError: There is no such folder.
    """
    at, rest = Path("/"), list(reversed(folder.absolute().parts[1:]))
    _check_parent(at, folder)
    links = 0
    while rest:
        name = rest.pop()
        if name == "..":
            at = at.parent
            continue
        at /= name
        found = at.lstat()
        if stat.S_ISLNK(found.st_mode):
            if found.st_uid not in {_ROOT, os.geteuid()}:
                raise UntrustedFolder(folder, f"{at} is a link of {_who(found.st_uid)}")
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
            target = at.readlink()
            rest += reversed([part for part in target.parts if part != "/"])
            at = Path("/") if target.is_absolute() else at.parent
        elif rest:
            _check_parent(at, folder)
    _check_own(at, folder)


def _check_own(at: Path, folder: Path) -> None:
    found = at.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if found.st_uid not in {_ROOT, os.geteuid()}:
        raise UntrustedFolder(folder, f"{at} belongs to {_who(found.st_uid)}")
    if _open_to_others(found) and not _mounted_for_all(at, found):
        mode = stat.S_IMODE(found.st_mode)
        words = f"others may write to {at} (mode {mode:04o}): run chmod go-w {at}"
        raise UntrustedFolder(folder, words)


def _check_parent(at: Path, folder: Path) -> None:
    found = at.lstat()
    if found.st_uid not in {_ROOT, os.geteuid(), _unmapped_user()}:
        raise UntrustedFolder(folder, f"{at} belongs to {_who(found.st_uid)}")
    if (
        _open_to_others(found)
        and not found.st_mode & stat.S_ISVTX
        and not _mounted_for_all(at, found)
    ):
        mode = stat.S_IMODE(found.st_mode)
        words = f"others may write to {at} (mode {mode:04o}), and so replace what is"
        raise UntrustedFolder(folder, f"{words} in it: run chmod go-w {at}")


def _open_to_others(found: os.stat_result) -> bool:
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_our_group(found.st_gid)


def _is_our_group(gid: int) -> bool:
    """Whether a group has no members but us and root.

    Where each user has a group of that name, folders are made writable for it.
    """
    if gid == _ROOT:
        return True
    try:
        group, us = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    named_alike = group.gr_name == us.pw_name and gid == us.pw_gid
    return named_alike and set(group.gr_mem) <= {us.pw_name}


def _mounted_for_all(at: Path, found: os.stat_result) -> bool:
    """Whether root has mounted it for everybody, as Kubernetes mounts an emptyDir.

    Only root can do that, and there is no other way to mount it in a pod.
    """
    return found.st_uid == _ROOT and os.path.ismount(at)


def _unmapped_user() -> int:
    """Whom the files belong to that are nobody's in our user namespace, root's above.

    Without a user namespace it is root, who is asked for already.
    """
    try:
        uids = Path("/proc/self/uid_map").read_text(encoding="utf-8").split()
        if uids == ["0", "0", "4294967295"]:
            return _ROOT
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _ROOT


def _who(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name!r} ({uid})"
    except KeyError:
        return f"user {uid}"
