"""Unpack archives that nobody vouches for, within limits."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from dioptra_worker.common.text.humanize import first_line
from dioptra_worker.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_FILES = 100_000
MAX_ARTIFACT_BYTES = 64 << 30
MAX_BUNDLE_BYTES = 1 << 30
"""Of a bundle of plugins; both when unpacked."""
MAX_HEADER_BYTES = 1 << 20
"""No honest header of an archive is larger."""
MAX_DEPTH = 100
"""Folders in each other; no honest archive has as many."""
_CHUNK_BYTES = 1 << 18
_NAMES_AT_ODDS = {
    *(errno.EEXIST, errno.EISDIR, errno.ENOTDIR),  # a file where a folder has to be
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ),
}
"""What the system says of names, and not of the disk."""


def unpack(
    archive: Path,
    target: Path,
    *,
    what: str,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BUNDLE_BYTES,
    check_cancelled: Callable[[], object] = lambda: None,
) -> None:
    """Unpack a ``tar.gz`` that nobody vouches for.

    Only files and folders are made, and only inside *target*. Links are refused: the
    platform makes none, and they are what has led out of every filter so far. Owners,
    times and modes in the archive are not looked at.

    Args:
        archive: The file.
        target: The folder to unpack into; made when it is missing.
        what: What it is, for messages, such as ``"the plugins of job 7"``.
        max_files: How many members it may have, and folders above them.
        max_bytes: How many bytes they may have in all.
        check_cancelled: Called now and then; may raise to give up.

    Raises:
        BundleError: If a member would lie outside *target*, is no file or folder, if
            there are too many or they are too large, if their names cannot be beside
            each other here, or if the archive is damaged.
        OSError: If they cannot be written, as on a full disk.
    """
    target.mkdir(parents=True, exist_ok=True)
    files = size = 0
    folders: _Folders = {}
    written: set[int] = set()
    try:
        with (
            archive.open("rb") as raw,
            _BoundedGzipFile(fileobj=raw, mode="rb") as plain,
            tarfile.open(fileobj=plain, mode="r:") as tar,
        ):
            while (member := _next(tar, plain)) is not None:
                check_cancelled()
                files += 1 + _count_parents(member, folders)
                size += max(member.size, 0)  # a negative one would make room
                if files > max_files:
                    raise BundleError(f"{what} has more than {max_files:,} files")
                if size > max_bytes:
                    raise BundleError(
                        f"{what} is larger than {max_bytes:,} bytes when unpacked"
                    )
                inode = _extract(
                    tar, member, target, what=what, check_cancelled=check_cancelled
                )
                if inode in written:  # by the same name, or one that is the same here
                    raise BundleError(
                        f"{what} holds {member.name[:200]!r} twice, or beside a name"
                        " that is the same on this disk"
                    )
                if inode is not None:
                    written.add(inode)
            # `tarfile` stops at its end mark. Only gzip's own end has the checksum of
            # all that came, so what follows is read, too.
            if len(plain.read(MAX_HEADER_BYTES)) == MAX_HEADER_BYTES:
                raise tarfile.ReadError("it goes on after its end")
    except _DAMAGED as error:
        reason = first_line(error, limit=200)
        raise BundleError(f"{what} is not a whole tar.gz archive: {reason}") from None


def _next(tar: tarfile.TarFile, plain: _BoundedGzipFile) -> tarfile.TarInfo | None:
    """The next member; nothing is kept of those before, nor of what holds for all."""
    with plain.reading_headers():
        member = tar.next()
    kept: Any = tar
    kept.members.clear()
    kept.pax_headers.clear()
    return member


_Folders = dict[str, "_Folders"]
"""Folders that were counted, by their names in each other."""


def _count_parents(member: tarfile.TarInfo, folders: _Folders) -> int:
    """How many folders a member needs that no other did: a name may hold thousands."""
    new = 0
    for part in PurePosixPath(member.name).parts[:-1]:
        if part not in folders:
            folders[part] = {}
            new += 1
        folders = folders[part]
    return new


_DAMAGED = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,  # NULs in names, numbers that are none
    OverflowError,
    RecursionError,  # headers that announce headers
)


class _BoundedGzipFile(gzip.GzipFile):
    """Reads no more at once than any honest header has: `tarfile` keeps those whole.

    Nor for all headers of one member, which may be many, or a map without end.
    """

    _headers_left: int | None = MAX_HEADER_BYTES

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        if self._headers_left is not None:
            self._headers_left -= size
            if self._headers_left < 0:
                raise tarfile.ReadError("headers without end")
        return super().read(size)

    @contextlib.contextmanager
    def reading_headers(self) -> Iterator[None]:
        """Count what is read in the block as one member's headers."""
        self._headers_left = MAX_HEADER_BYTES
        try:
            yield
        finally:
            self._headers_left = None


def _extract(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    target: Path,
    *,
    what: str,
    check_cancelled: Callable[[], object],
) -> int | None:
    """Write a member; of a file, its number on the disk."""
    inside = PurePosixPath(member.name)
    if inside.is_absolute() or ".." in inside.parts or member.size < 0:
        raise BundleError(f"{what} holds something unsafe: {member.name[:200]!r}")
    if len(inside.parts) > MAX_DEPTH:
        raise BundleError(f"{what} has more than {MAX_DEPTH} folders in each other")
    source = None
    # A sparse file may have any number of bytes that nobody would have counted.
    if member.isreg() and not member.issparse():
        source = tar.extractfile(member)
    if source is None and not member.isdir():
        raise BundleError(
            f"{what} holds something unsafe: {member.name[:200]!r} is neither a file"
            " nor a folder"
        )
    try:
        return _write(source, target / inside, member.size, check_cancelled)
    except OSError as error:
        if error.errno not in _NAMES_AT_ODDS:
            raise  # such as a full disk
        raise BundleError(
            f"{what} holds {member.name[:200]!r}, which cannot be written beside its"
            f" other files: {error.strerror}"
        ) from None


def _write(
    source: IO[bytes] | None,
    path: Path,
    size: int,
    check_cancelled: Callable[[], object],
) -> int | None:
    """Write a file, or make a folder where there is nothing to write."""
    if source is None:
        path.mkdir(parents=True, exist_ok=True)
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            check_cancelled()
            file.write(chunk)
        if file.tell() != size:
            raise tarfile.ReadError("it ends within a file")
        return os.fstat(file.fileno()).st_ino
