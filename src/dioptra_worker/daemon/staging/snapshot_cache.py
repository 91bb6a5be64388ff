"""Snapshots that were fetched before: on disk, verified, bounded, shared by workers.

The platform never changes a snapshot, so what was fetched once need not be fetched
again. An entry is one file whose name says what it is and has a keyed checksum (HMAC)
of that and of the SHA-256 of its content, which whoever asks is told. Jobs run as our
user and can write here, but they do not know the key: what they change or put here is
fetched again, and never used. Files appear and disappear in one step, so any number of
workers of one user can use a folder without a lock: the worst that a race costs is
fetching twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.listing import beginning_with
from dioptra_worker.common.files.plain_file import open_plain
from dioptra_worker.common.files.removal import remove
from dioptra_worker.common.files.trusted_folder import PRIVATE_MODE, make_private
from dioptra_worker.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("dioptra_worker.cache")

MAX_ENTRY_SHARE = 0.25
"""Of the cache; what would take more is not kept, as it would empty it."""
MAX_ENTRIES = 5000
"""To find one takes a look at all names, which is 0.7 ms of the processor for 1,000."""
_ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which a file that nobody finished writing is removed."""
_CHUNK_BYTES = 1 << 20
_NEW_PREFIX = "new-"


class SnapshotCache:
    """A folder of snapshots; safe from any thread. Its failures are nobody's else."""

    def __init__(
        self,
        folder: Path,
        *,
        size: int,
        identity: Callable[[], str],
        key: bytes,
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        """Prepare; the folder is made when something is kept.

        Args:
            folder: Where; it is for its owner's eyes only.
            size: Bytes that all entries may take; 0 keeps nothing.
            identity: Tells whose snapshots these are: another API, another user, or
                an API that was set up anew, has others under the same numbers.
            key: A secret of the worker's, which makes checksums that no job can make.
            max_entries: How many entries there may be.
        """
        self._folder = folder
        self._size = size
        self._identity = identity
        self._key = key
        self._max_entries = max_entries

    @contextlib.contextmanager
    def cached_download(
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
        self.add(key, target)

    def get(self, key: str, target: Path) -> str:
        """Put a snapshot's content into a file, if it is here.

        Returns:
            The SHA-256 of the file, in hexadecimal; empty if it was not here.
        """
        prefix = self._prefix(key)
        return "" if prefix is None else self._get(key, prefix, target)

    def add(self, key: str, source: Path) -> str:
        """Keep a snapshot's content, unless it is too large; the file stays.

        Returns:
            The SHA-256 of the file, in hexadecimal; empty if it is not kept.
        """
        prefix = self._prefix(key)
        if prefix is not None:
            with self._ignore_failures():
                return self._put(prefix, source)
        return ""

    def accepts(self, size: int) -> bool:
        """Whether so many bytes would be kept."""
        return size <= self._size * MAX_ENTRY_SHARE

    def _prefix(self, key: str) -> str | None:
        """The beginning of an entry's name; None when nothing can be kept."""
        if not self._size:
            return None
        try:
            text = f"keyed by digest\n{self._identity()}\n{key}"
        except ServiceError:
            return None
        return hashlib.sha256(text.encode()).hexdigest()

    def _get(self, key: str, prefix: str, target: Path) -> str:
        with self._ignore_failures():
            for entry in beginning_with(self._folder, f"{prefix}-"):
                # The checksum is of the bytes that were copied, so nothing can change
                # between the check and the use. An entry that another worker removes
                # meanwhile stays readable for who has opened it.
                sha256 = self._copy(entry, target)
                checksum = self._checksum(prefix, sha256)
                if hmac.compare_digest(checksum, entry.name.rpartition("-")[2]):
                    os.utime(entry)  # that is what eviction goes by
                    return sha256
                log.warning("%s was damaged in the cache and is fetched again", key)
                remove(entry)
        return ""

    def _put(self, prefix: str, source: Path) -> str:
        if not self.accepts(source.stat().st_size):
            return ""
        make_private(self._folder)
        if self._folder.stat().st_mode & 0o077:  # it was there before us
            self._folder.chmod(PRIVATE_MODE)
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=_NEW_PREFIX)
        os.close(descriptor)
        new = Path(name)
        try:
            sha256 = self._copy(source, new)
            # Only whole files have an entry's name. If another worker had the same
            # content first, one replaces the other, and both are right.
            new.rename(self._folder / f"{prefix}-{self._checksum(prefix, sha256)}")
        finally:
            new.unlink(missing_ok=True)
        self._evict()
        return sha256

    def _checksum(self, prefix: str, sha256: str) -> str:
        """The keyed checksum of an entry; empty of what cannot be one."""
        if not sha256:
            return ""
        return hmac.digest(self._key, f"{prefix}\n{sha256}".encode(), "sha256").hex()

    def _copy(self, source: Path, target: Path) -> str:
        """Copy a file; the SHA-256 of what was read, in hexadecimal.

        It is empty for what cannot be an entry: a link, a pipe, or more bytes than all
        entries together may have.
        """
        digest = hashlib.sha256()
        reader = open_plain(source)
        if reader is None:
            return ""
        with reader:
            if os.fstat(reader.fileno()).st_size > self._size:
                return ""
            with target.open("wb") as writer:
                while chunk := reader.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    writer.write(chunk)
        return digest.hexdigest()

    def _evict(self) -> None:
        """Remove what was not used for longest until the rest is small enough.

        Workers may evict at the same time, each with a view of its own: then more is
        removed than need be, and fetched again. Whoever reads an entry that is being
        removed has it open, or does not find it any more.
        """
        entries = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another worker was quicker
                found = path.lstat()
                if not path.name.startswith(_NEW_PREFIX):
                    entries.append((found.st_mtime, found.st_size, path))
                elif time.time() - found.st_mtime > _ABANDONED_AFTER:
                    path.unlink(missing_ok=True)
        total = sum(size for _, size, _ in entries)
        surplus = len(entries) - self._max_entries
        for number, (_, size, path) in enumerate(sorted(entries)):
            if total <= self._size and number >= surplus:
                return
            path.unlink(missing_ok=True)
            total -= size

    @contextlib.contextmanager
    def _ignore_failures(self) -> Iterator[None]:
        """A cache that cannot be used costs time, and no job."""
        try:
            yield
        except FileNotFoundError:
            pass  # another worker has just removed it
        except OSError as error:
            log.warning("the cache %s cannot be used: %s", self._folder, error)
