"""A job's private folder, and unpacking into it what came from elsewhere."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import shutil
import socket
import stat
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dioptra_worker.common.process_identity import mark
from dioptra_worker.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAME = re.compile(
    r"job-\d+-(?P<owner>(?P<host>[0-9a-f]{8})\.(?P<pid>\d+)\.[0-9a-f]{8})-\w+"
)

MAX_FILES = 100_000
MAX_BYTES = 64 << 30
MAX_BUNDLE_BYTES = 1 << 30
LONGEST_HEADER = 1 << 20
_CHUNK = 1 << 18


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


@contextlib.contextmanager
def workspace(parent: Path, job_id: int) -> Iterator[Workspace]:
    """Make a job's folder, readable by its owner only, and remove it at the end.

    Args:
        parent: The folder for all jobs; made when it is missing.
        job_id: Part of the folder's name.

    Yields:
        The workspace with its folders for code and artifacts.
    """
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = _owner(os.getpid())
    prefix = f"job-{job_id}-{owner}-"
    root = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
    space = Workspace(root)
    try:
        for folder in (space.plugins, space.artifact_plugins):
            folder.mkdir(parents=True)
        yield space
    finally:
        remove(root)


def remove_stale(parent: Path) -> list[Path]:
    """Remove the folders of jobs whose worker on this machine is dead.

    Args:
        parent: The folder for all jobs; other machines may use it too.

    Returns:
        What was removed.
    """
    removed = []
    for folder in parent.glob("job-*"):
        found = _NAME.fullmatch(folder.name)
        if found is None or found["host"] != _digest(socket.gethostname()):
            continue
        if found["owner"] != _owner(int(found["pid"])):
            remove(folder)
            removed.append(folder)
    return removed


def _owner(pid: int) -> str:
    """A process as part of a name: its machine, its id, and when it began."""
    process = mark(pid)
    birth = "" if process is None else process.birth
    return f"{_digest(socket.gethostname())}.{pid}.{_digest(birth)}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def remove(folder: Path) -> None:
    """Remove a folder, also when a job took away the right to do so."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        return
    _make_removable(folder)
    for path, names, _ in os.walk(folder):
        for name in names:  # before the walk goes into them
            _make_removable(Path(path, name))
    shutil.rmtree(folder, ignore_errors=True)


def _make_removable(folder: Path) -> None:
    if not folder.is_symlink():  # what it leads to is not ours
        with contextlib.suppress(OSError):
            folder.chmod(stat.S_IRWXU)


def unpack(
    archive: Path,
    target: Path,
    *,
    what: str,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BUNDLE_BYTES,
    go_on: Callable[[], object] = lambda: None,
) -> None:
    """Unpack a ``tar.gz`` that nobody vouches for.

    Only files and folders are made, and only inside *target*. Links are refused: the
    platform makes none, and they are what has led out of every filter so far. Owners,
    times and modes in the archive are not looked at.

    Args:
        archive: The file.
        target: The folder to unpack into; made when it is missing.
        what: What it is, for messages, such as ``"the plugins of job 7"``.
        max_files: How many members it may have.
        max_bytes: How many bytes they may have in all.
        go_on: Called now and then; may raise to give up.

    Raises:
        BundleError: If a member would lie outside *target*, is no file or folder, if
            there are too many or they are too large, or if the archive is damaged.
        OSError: If they cannot be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    files = size = 0
    try:
        with (
            archive.open("rb") as raw,
            _Frugal(fileobj=raw, mode="rb") as plain,
            tarfile.open(fileobj=plain, mode="r:") as tar,
        ):
            for member in tar:
                go_on()
                files += 1
                size += max(member.size, 0)
                if files > max_files:
                    raise BundleError(f"{what} has more than {max_files:,} files")
                if size > max_bytes:
                    raise BundleError(
                        f"{what} is larger than {max_bytes:,} bytes when unpacked"
                    )
                _extract(tar, member, target, what=what, go_on=go_on)
            if len(plain.read(LONGEST_HEADER)) == LONGEST_HEADER:  # checks the sum, too
                raise tarfile.ReadError("it goes on after its end")
    except _DAMAGED as error:
        raise BundleError(f"{what} is not a whole tar.gz archive: {error}") from None


_DAMAGED = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,  # NULs in names, numbers that are none
    OverflowError,
    RecursionError,  # headers that announce headers
)


class _Frugal(gzip.GzipFile):
    """Reads no more at once than any honest header has: `tarfile` keeps those whole."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _extract(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    target: Path,
    *,
    what: str,
    go_on: Callable[[], object],
) -> None:
    inside = PurePosixPath(member.name)
    if inside.is_absolute() or ".." in inside.parts or member.size < 0:
        raise BundleError(f"{what} holds something unsafe: {member.name[:200]!r}")
    path = target / inside
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise BundleError(
            f"{what} holds something unsafe: {member.name[:200]!r} is neither a file"
            " nor a folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as file:
        while chunk := source.read(_CHUNK):
            go_on()
            file.write(chunk)
        if file.tell() != member.size:
            raise tarfile.ReadError("it ends within a file")
