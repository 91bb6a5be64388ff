"""A job's private folder, and unpacking into it what came from elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.process_identity import identify
from dioptra_worker.common.removal import remove
from dioptra_worker.common.trusted_folder import make_private

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("dioptra_worker.workspace")


@dataclass(frozen=True)
class Workspace:
    """The folders of one job; *root* is its current directory.

    Attributes:
        root: The job's folder.
    """

    root: Path

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
        folder = self.root / ".dioptra" / "artifacts"
        return folder / f"{artifact_id}_{snapshot_id}"

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


def temporary_work_dir() -> Path:
    """The folder for all jobs where nobody has named another."""
    return Path(tempfile.gettempdir()) / f"dioptra-worker-{os.getuid()}"


@contextlib.contextmanager
def workspace(parent: Path, job_id: int) -> Iterator[Workspace]:
    """Make a job's folder, readable by its owner only, and remove it at the end.

    Args:
        parent: The folder for all jobs; made when it is missing.
        job_id: Part of the folder's name.

    Yields:
        The workspace with its folders for code and artifacts.

    Raises:
        UntrustedFolder: Somebody else could change what is in the parent.
        OSError: The folders cannot be made.
    """
    make_private(parent)
    prefix = f"job-{job_id}-{owner_token(os.getpid())}-"
    root = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
    space = Workspace(root)
    try:
        for folder in (space.plugins, space.artifact_plugins):
            folder.mkdir(parents=True)
        yield space
    finally:
        if not remove(root):
            log.warning("%s could not be removed, and is left behind", root)


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
