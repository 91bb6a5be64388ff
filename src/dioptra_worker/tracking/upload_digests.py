"""The digests of an artifact's files, taken while it is uploaded.

Large files that go to S3 are read once: what is sent is hashed on its way. All others
are read by a thread beside who sends them.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from typing import TYPE_CHECKING, BinaryIO, Self

from dioptra_worker.provenance.manifest import FileDigest
from dioptra_worker.tracking.upload_files import stored_files

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK_BYTES = 1 << 18
"""Of a file that is read beside its upload; so much stays in a processor's cache."""


class UploadDigests:
    """Takes digests in a thread, but of files that a store reads through `open`."""

    def __init__(self, path: Path, *, part_size: int) -> None:
        """Begin.

        Args:
            path: The file or folder that is uploaded.
            part_size: Bytes from which a file goes to an S3 store in parts, which is
                read through `open`; 0 where there is no such store.
        """
        self._path = path
        self._part_size = part_size
        self._found: dict[Path, FileDigest] = {}
        self._sending: dict[Path, _HashedFile] = {}
        self._is_wanted = True
        self._thread = threading.Thread(
            target=self._read, name="dioptra-digests", daemon=True
        )
        self._thread.start()

    def open(self, file: Path) -> BinaryIO:
        """One of the files, for who reads it once from its begin to its end.

        Raises:
            OSError: It cannot be read.
        """
        hashed = _HashedFile(file)
        self._sending[file] = hashed
        return hashed  # type: ignore[return-value]

    def sent(self, file: Path, etag: str) -> None:
        """Note that a file which was opened here is stored.

        Args:
            file: The file.
            etag: What the store says of it; empty for nothing.
        """
        hashed = self._sending.pop(file)
        self._found[file] = FileDigest(
            path=self._inside(file), size=hashed.size, sha256=hashed.sha256(), etag=etag
        )

    def files(self) -> list[FileDigest]:
        """All of them, once the upload is done; what cannot be read is left out."""
        self._thread.join()
        files = stored_files(self._path)[0]
        for file in files:
            if file not in self._found:  # it went another way than its size let expect
                self._take(file)
        return [self._found[file] for file in files if file in self._found]

    def close(self) -> None:
        """Read no more: it was not uploaded."""
        self._is_wanted = False

    def _read(self) -> None:
        for file in stored_files(self._path)[0]:
            with contextlib.suppress(OSError):
                if self._part_size and file.stat().st_size >= self._part_size:
                    continue
            if not self._is_wanted:
                return
            self._take(file)

    def _take(self, file: Path) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._found[file] = self._digest(file)

    def _digest(self, file: Path) -> FileDigest:
        sha256, md5, size = hashlib.sha256(), _md5(), 0
        buffer = memoryview(bytearray(_BLOCK_BYTES))
        with file.open("rb", buffering=0) as content:
            while self._is_wanted and (count := content.readinto(buffer)):
                sha256.update(buffer[:count])
                if size < self._part_size:
                    md5.update(buffer[:count])
                size += count
        return FileDigest(
            path=self._inside(file),
            size=size,
            sha256=sha256.hexdigest(),
            # The tag of an object that was stored as a whole is its MD5.
            etag=md5.hexdigest() if size < self._part_size else "",
        )

    def _inside(self, file: Path) -> str:
        inside = file.relative_to(self._path).as_posix()
        return file.name if inside == "." else inside


class _HashedFile:
    """A file whose digest is taken as it is read; it can be read only once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._sha256 = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._sha256.update(data)
        self.size += len(data)
        return data

    def sha256(self) -> str:
        return self._sha256.hexdigest()


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)
