"""Snapshots that were fetched before: on disk, verified, bounded, shared by workers.

The platform never changes a snapshot, so what was fetched once need not be fetched
again. An entry is one file whose name says what it is and what its content's checksum
must be. Files appear and disappear in one step, so any number of workers of one user
can use a folder without a lock: the worst that a race costs is fetching twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("dioptra_worker.cache")

LARGEST_SHARE = 4
"""What takes more than this part of the cache is not kept: it would empty it."""
FORGOTTEN = 24 * 3600.0
"""Seconds after which a file that nobody finished writing is removed."""
_CHUNK = 1 << 20
_NEW = "new-"


class SnapshotCache:
    """A folder of snapshots; safe from any thread. Its failures are nobody's else."""

    def __init__(self, folder: Path, *, size: int, identity: Callable[[], str]) -> None:
        """Prepare; the folder is made when something is kept.

        Args:
            folder: Where; it is for its owner's eyes only.
            size: Bytes that all entries may take; 0 keeps nothing.
            identity: Tells whose snapshots these are: another API, another user, or
                an API that was set up anew, has others under the same numbers.
        """
        self._folder = folder
        self._size = size
        self._identity = identity

    @contextlib.contextmanager
    def fetched(
        self, key: str, target: Path, download: Callable[[Path], object]
    ) -> Iterator[None]:
        """Have a snapshot's content in a file, from here where it can be had.

        What was downloaded is kept when the block is left in peace: what it had no use
        for, such as a page of a proxy with the status 200, must not be had again.

        Args:
            key: What it is, such as ``"plugins/3/snapshots/9"``.
            target: The file.
            download: Puts it there from where it comes from.

        Raises:
            ServiceError: As *download* does.
        """
        if self.get(key, target):
            yield
            return
        download(target)
        yield
        self.keep(key, target)

    def get(self, key: str, target: Path) -> bool:
        """Put a snapshot's content into a file, if it is here; whether it was."""
        prefix = self._prefix(key)
        return prefix is not None and self._get(key, prefix, target)

    def keep(self, key: str, source: Path) -> None:
        """Keep a snapshot's content, unless it is too large."""
        prefix = self._prefix(key)
        if prefix is not None:
            with self._harmless():
                self._put(prefix, source)

    def takes(self, size: int) -> bool:
        """Whether so many bytes would be kept."""
        return size * LARGEST_SHARE <= self._size

    def _prefix(self, key: str) -> str | None:
        """The beginning of an entry's name; None when nothing can be kept."""
        if not self._size:
            return None
        try:
            text = f"{self._identity()}\n{key}"
        except ServiceError:
            return None
        return hashlib.sha256(text.encode()).hexdigest()

    def _get(self, key: str, prefix: str, target: Path) -> bool:
        with self._harmless():
            for entry in self._folder.glob(f"{prefix}-*"):
                digest = _copy(entry, target)
                if digest == entry.name.rpartition("-")[2]:
                    os.utime(entry)
                    return True
                log.warning("%s was damaged in the cache and is fetched again", key)
                entry.unlink(missing_ok=True)
        return False

    def _put(self, prefix: str, source: Path) -> None:
        if not self.takes(source.stat().st_size):
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _be_private(self._folder)
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=_NEW)
        os.close(descriptor)
        new = Path(name)
        try:
            digest = _copy(source, new)
            new.rename(self._folder / f"{prefix}-{digest}")
        finally:
            new.unlink(missing_ok=True)
        self._evict()

    def _evict(self) -> None:
        """Remove what was not used for longest until the rest is small enough."""
        entries = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another worker was quicker
                stat = path.stat()
                if not path.name.startswith(_NEW):
                    entries.append((stat.st_mtime, stat.st_size, path))
                elif time.time() - stat.st_mtime > FORGOTTEN:
                    path.unlink(missing_ok=True)
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self._size:
                return
            path.unlink(missing_ok=True)
            total -= size

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """A cache that cannot be used costs time, and no job."""
        try:
            yield
        except FileNotFoundError:
            pass  # another worker has just removed it
        except OSError as error:
            log.warning("the cache %s cannot be used: %s", self._folder, error)


def _be_private(folder: Path) -> None:
    """See that nobody else can put code into a folder that we run code from."""
    stat = folder.stat()
    if stat.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    if stat.st_mode & 0o077:
        folder.chmod(0o700)


def _copy(source: Path, target: Path) -> str:
    """Copy a file; the checksum of what was read."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()
