"""The work folder, and where tasks put temporary files: writable, private, roomy."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.trusted_folder import UntrustedFolder, make_private
from dioptra_worker.common.text.humanize import size
from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "work folder"
MIN_FREE_BYTES = 100 << 20
LOW_FREE_BYTES = 1 << 30
LOW_FREE_FILES = 10_000
TEMPORARY = ("TMPDIR", "TEMP", "TMP")
"""Variables that name Python's folder for temporary files; the first one counts."""
_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
"""Not to pass through: jobs' users have to, to their own folders."""
_MOVE = "set DIOPTRA_WORKER_WORK_DIR to a folder of this user"


def check(folder: Path) -> Iterator[Finding]:
    """Check the work folder, which is made when it is missing, as the daemon does."""
    yield from _temporary()
    try:
        make_private(folder)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="doctor-") as file:
            file.write(b"written")
            file.flush()
    except UntrustedFolder as error:
        yield fail(NAME, str(error), _MOVE)
        return
    except OSError as error:
        yield fail(NAME, f"{folder} cannot be written: {error.strerror}", _MOVE)
        return
    yield _privacy(folder)
    yield _room(folder)


def _temporary() -> Iterator[Finding]:
    """A folder that Python silently passes over for another one."""
    wanted = [(name, os.environ[name]) for name in TEMPORARY if os.environ.get(name)]
    used = Path(tempfile.gettempdir())
    for name, value in wanted[:1]:
        if Path(value).resolve() != used.resolve():
            yield warn(
                "temporary files",
                f"they go to {used}: {name} names {value}, which cannot be written",
                f"make that folder writable, or set {name} to another one",
            )


def _privacy(folder: Path) -> Finding:
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.getuid():
        return warn(NAME, f"{folder} belongs to user {found.st_uid}", _MOVE)
    if mode & _OTHERS:
        return warn(
            NAME,
            f"{folder} is open to other users (mode {mode:04o})",
            f"run: chmod 700 {folder}",
        )
    return ok(NAME, f"{folder} can be written, by this user only")


def _room(folder: Path) -> Finding:
    name, free = "disk space", shutil.disk_usage(folder).free
    system = os.statvfs(folder)
    fix = "make room, or set DIOPTRA_WORKER_WORK_DIR to a folder on another disk"
    detail = f"{size(free)} free for jobs' folders"
    if free < MIN_FREE_BYTES:
        return fail(name, detail, fix)
    if free < LOW_FREE_BYTES:
        return warn(name, detail, fix)
    if system.f_files and system.f_favail < LOW_FREE_FILES:
        return warn(name, f"room for {system.f_favail} more files only", fix)
    return ok(name, detail)
