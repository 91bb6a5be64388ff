"""A file whose parts are written in any order, and whose digest is taken meanwhile."""

from __future__ import annotations

import hashlib
import heapq
import os
import threading
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK_BYTES = 1 << 20


class DigestedFile:
    """Is written to by one thread; another reads behind it what has no gap before it.

    What is written once may be written again, if it is the same: then it was fetched
    anew, after a transfer of it had broken off.
    """

    def __init__(self, path: Path) -> None:
        """Make the file.

        Raises:
            OSError: It cannot be made.
        """
        self._file: IO[bytes] = path.open("w+b", buffering=0)
        self._position = 0
        self._written = 0
        self._ahead: list[tuple[int, int]] = []
        self._is_over = False
        self._changed = threading.Condition()
        self._sha256 = hashlib.sha256()
        self._read = 0
        self._thread = threading.Thread(
            target=self._follow, name="dioptra-digest", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._file.close()

    def seekable(self) -> bool:
        """Whether parts may come in any order: they may."""
        return True

    def tell(self) -> int:
        """Where the next bytes go."""
        return self._position

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Go to where the next bytes go."""
        self._position = self._file.seek(position, whence)
        return self._position

    def write(self, data: bytes) -> int:
        """Write bytes, all of them.

        Raises:
            OSError: The disk does not take them.
        """
        begin, rest = self._position, memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._position = begin + len(data)
        with self._changed:
            heapq.heappush(self._ahead, (begin, self._position))
            while self._ahead and self._ahead[0][0] <= self._written:
                self._written = max(self._written, heapq.heappop(self._ahead)[1])
            self._changed.notify()
        return len(data)

    def sha256(self, size: int) -> str:
        """The digest in hex of all that was written; empty if that is not so much."""
        self._end()
        return self._sha256.hexdigest() if self._read == size else ""

    def _end(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join()

    def _follow(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_over or self._written > self._read
                )
                count = min(self._written - self._read, _CHUNK_BYTES)
            if not count:
                return
            try:
                data = os.pread(self._file.fileno(), count, self._read)
            except OSError:  # then there is no digest
                return
            if not data:
                return
            self._sha256.update(data)
            self._read += len(data)
