"""A job's private folder, and unpacking into it what came from elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
import stat
import tempfile
import threading
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.held_folder import make_held
from dioptra_worker.common.files.removal import remove
from dioptra_worker.common.files.trusted_folder import make_private
from dioptra_worker.common.processes.process_identity import identify

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_NAMES = 10
"""Names of temporary files that a job left and that its log has."""
_MAX_LISTED = 1000
_THROUGH = stat.S_IXGRP | stat.S_IXOTH

log = logging.getLogger("dioptra_worker.workspace")


@dataclass
class Workspace:
    """The folders of one job; *root* is its current directory.

    Attributes:
        root: The job's folder.
        user: The number of the user that the job runs as; None for our own.
    """

    root: Path
    user: int | None = None
    _is_handed_over: bool = False
    # Who prepares the job hands over what it has, also while the user changes.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def temporary(self) -> Path:
        """The job's folder for temporary files, with a path that is short."""
        return temporary_of(self.root)

    @property
    def address(self) -> Path:
        """The socket where the job's processes find the worker."""
        return self.temporary / "worker"

    def leftovers(self) -> str | None:
        """What is left of temporary files, in words; None if nothing is."""
        try:
            with os.scandir(self.temporary) as entries:  # there may be millions
                names = sorted(entry.name for entry in islice(entries, _MAX_LISTED))
        except OSError:
            return None
        shown = [repr(name) for name in names if name != self.address.name]
        if not shown:
            return None
        count = "many" if len(names) == _MAX_LISTED else len(shown) - MAX_NAMES
        more = [f"{count} more"] if len(shown) > MAX_NAMES else []
        words = ", ".join([*shown[:MAX_NAMES], *more])
        return f"removed temporary files that the job left: {words}"

    @property
    def plugins(self) -> Path:
        """The plugins of the graph's tasks."""
        return self.root / ".dioptra" / "plugins"

    @property
    def artifact_plugins(self) -> Path:
        """The plugins of the artifact tasks that may write."""
        return self.root / ".dioptra" / "serialize"

    def reader(self, plugin_id: int, snapshot_id: int) -> Path:
        """The plugin snapshot that reads an input artifact."""
        folder = self.root / ".dioptra" / "deserialize"
        return folder / f"{plugin_id}_{snapshot_id}"

    def artifact(self, artifact_id: int, snapshot_id: int) -> Path:
        """The folder of an input artifact."""
        return self._artifacts / f"{artifact_id}_{snapshot_id}"

    @property
    def _artifacts(self) -> Path:
        return self.root / ".dioptra" / "artifacts"

    def hand_over(self) -> None:
        """Let the job's user read its plugins, and have its input artifacts.

        Raises:
            OSError: If that cannot be.
        """
        with self._lock:
            self._is_handed_over = True
            self._hand_over()

    def _hand_over(self) -> None:
        if self.user is None:
            return
        for part in (self.root / ".dioptra").iterdir():
            if part == self._artifacts:
                _give(part, self.user)
            else:
                _show(part, self.user)

    def lend(self) -> None:
        """Let the job's user fill its folders.

        Raises:
            OSError: If that cannot be.
        """
        if self.user is None:
            return
        lend(self.root, self.user)
        for folder in (self.plugins.parent, self.plugins, self.artifact_plugins):
            _show_one(folder, folder.lstat().st_mode, self.user)
        with contextlib.suppress(FileNotFoundError):
            lend(self.temporary, self.user)

    def change_user(self, user: int | None) -> None:
        """Have another user in the place of one that has no processes any more.

        What that one has left here goes.

        Raises:
            OSError: If that cannot be.
        """
        with self._lock:
            self.user = user
            kept = self.root / ".dioptra"
            for folder in (self.root, self.temporary):
                with contextlib.suppress(FileNotFoundError):
                    for path in folder.iterdir():
                        if path != kept:
                            remove(path)
            self.lend()
            if self._is_handed_over:
                self._hand_over()

    @contextlib.contextmanager
    def download(self) -> Iterator[Path]:
        """A path to download to, removed afterwards."""
        folder = self.root / ".dioptra"
        descriptor, name = tempfile.mkstemp(dir=folder, prefix="download-")
        os.close(descriptor)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what is on its way, removed afterwards."""
        folder = Path(tempfile.mkdtemp(dir=self.root / ".dioptra", prefix="scratch-"))
        try:
            yield folder
        finally:
            remove(folder)


def temporary_of(root: Path) -> Path:
    """The folder for temporary files that belongs to a job's folder."""
    return Path(tempfile.gettempdir(), f"dioptra-{root.name.rpartition('-')[2]}")


def temporary_work_dir() -> Path:
    """The folder for all jobs where nobody has named another."""
    return Path(tempfile.gettempdir()) / f"dioptra-worker-{os.getuid()}"


@contextlib.contextmanager
def workspace(
    parent: Path, job_id: int, *, user: int | None = None
) -> Iterator[Workspace]:
    """Make a job's folder, for its user's eyes only, and remove it at the end.

    Args:
        parent: The folder for all jobs; made when it is missing.
        job_id: Part of the folder's name.
        user: The number of the user that the job runs as; None for our own.

    Yields:
        The workspace with its folders for code and artifacts.

    Raises:
        UntrustedFolder: Somebody else could change what is in the parent.
        OSError: The folders cannot be made.
    """
    missing = [path for path in parent.absolute().parents if not path.exists()]
    make_private(parent)
    if user is not None:  # what had to be made again is closed to it
        for folder in (*missing, parent):
            open_way(folder)
    prefix = f"job-{job_id}-{owner_token(os.getpid())}-"
    made, held = make_held(parent, prefix)
    root = made.resolve()
    space = Workspace(root, user)
    try:
        for folder in (space.plugins, space.artifact_plugins):
            folder.mkdir(parents=True)
        try:
            space.temporary.mkdir(0o700)
        except OSError as error:  # the job has everybody's, then
            log.warning("a job has no folder for temporary files: %s", error)
        space.lend()
        yield space
    finally:
        remove_all(root)
        os.close(held)


def remove_all(root: Path) -> bool:
    """Remove a job's folders, with all that is in them; whether that could be."""
    temporary = temporary_of(root)
    left = []
    # The one that leads to the other is the last.
    for folder in (temporary, root) if _is_ours(temporary) else (root,):
        if not remove(folder):
            log.warning("%s could not be removed, and is left behind", folder)
            left.append(folder)
    return not left


def _is_ours(folder: Path) -> bool:
    """Whether a folder is the worker's, and nobody else's of that name."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def open_way(folder: Path) -> None:
    """Let other users through a folder, to what in it is theirs, but not look around.

    Raises:
        OSError: If that cannot be.
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & _THROUGH != _THROUGH:
        folder.chmod(mode | _THROUGH)


def lend(folder: Path, user: int) -> None:
    """Let another user alone fill a folder of ours.

    It stays ours, so that what is ours in it can be neither removed nor replaced.

    Raises:
        OSError: If that cannot be.
    """
    os.chown(folder, -1, user)
    folder.chmod(stat.S_ISVTX | stat.S_IRWXU | stat.S_IRWXG)


def _show(tree: Path, user: int) -> None:
    """Let another user read what is ours, and nobody else."""
    for path, mode in _contents(tree):
        _show_one(path, mode, user)


def _show_one(path: Path, mode: int, user: int) -> None:
    os.chown(path, -1, user, follow_symlinks=False)
    if not stat.S_ISLNK(mode):
        rights = mode & stat.S_IRWXU
        path.chmod(rights | (rights >> 3 & (stat.S_IRGRP | stat.S_IXGRP)))


def _give(tree: Path, user: int) -> None:
    """Make another user the owner of what was ours."""
    for path, _ in _contents(tree):
        os.chown(path, user, user, follow_symlinks=False)


def _contents(tree: Path) -> Iterator[tuple[Path, int]]:
    """A folder and all below it, with their modes; links are not followed."""
    yield tree, tree.lstat().st_mode
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            path = Path(folder, name)
            yield path, path.lstat().st_mode


def owner_token(pid: int) -> str:
    """A process as part of a folder's name: its machine, its id, when it began."""
    process = identify(pid)
    start_time = "" if process is None else process.start_time
    return f"{host_token()}.{pid}.{_digest(start_time)}"


def host_token() -> str:
    """This machine as part of a folder's name."""
    return _digest(socket.gethostname())


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
