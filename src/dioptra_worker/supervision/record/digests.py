"""Digests of files that a job may read, taken while it goes on.

What there is is looked at before the job can reach it; its content is read in a thread
of its own. Who writes to a file meanwhile, or puts another one in its place, cannot do
so without the system's noting it (``ctime``), and then the file has no digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from dioptra_worker.provenance.manifest import FileDigest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

HEAD_START = 0.02
"""Seconds that a job waits for the digests of its files; most are done by then."""
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class _Seen:
    """A file as it was before the job could reach it."""

    path: Path
    name: str
    about: tuple[int, ...]
    size: int
    flags: int = os.O_RDONLY | os.O_NONBLOCK


class Digests:
    """Takes the digests of the files below some folders; they are those of one job."""

    def __init__(
        self,
        folders: Iterable[Path],
        *,
        known: Mapping[Path, str] = MappingProxyType({}),
        links: bool = False,
    ) -> None:
        """Look at what there is, and begin to read it.

        Args:
            folders: Where; what lies below each is told by its path within it.
            known: The SHA-256 of files that nobody could change since it was computed.
            links: Whether they may have links in them, which are a person's own.
        """
        look = _look_through_links if links else _look
        self._seen = {folder: list(look(folder)) for folder in folders}
        self._found = {
            seen.path: FileDigest(
                path=seen.name, size=seen.size, sha256=known[seen.path]
            )
            for files in self._seen.values()
            for seen in files
            if seen.path in known
        }
        self._changed: set[Path] = set()
        self._closed = False
        self._thread = threading.Thread(
            target=self._read, name="dioptra-digests", daemon=True
        )
        self._thread.start()
        self._thread.join(HEAD_START)

    def below(self, folder: Path) -> tuple[FileDigest, ...]:
        """The files of a folder; one that was changed, or not read yet, has no digest.

        Args:
            folder: One of those that it was made with.
        """
        return tuple(
            self._found.get(
                seen.path, FileDigest(path=seen.name, size=seen.size, sha256="")
            )
            for seen in self._seen.get(folder, ())
        )

    def has_changed(self, folder: Path) -> bool:
        """Whether a file of a folder was changed before it was read."""
        return any(seen.path in self._changed for seen in self._seen.get(folder, ()))

    def wait(self, seconds: float) -> bool:
        """Wait for the last of them; whether all were read."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Read no more."""
        self._closed = True

    def _read(self) -> None:
        for files in self._seen.values():
            for seen in files:
                if self._closed:
                    return
                if seen.path in self._found:
                    continue
                try:
                    sha256 = self._digest(seen)
                except OSError:  # it is not there any more, or is another thing
                    self._changed.add(seen.path)
                    continue
                if sha256:
                    self._found[seen.path] = FileDigest(
                        path=seen.name, size=seen.size, sha256=sha256
                    )

    def _digest(self, seen: _Seen) -> str:
        """The digest of a file; empty if it was changed, or is not wanted any more."""
        found = hashlib.sha256()
        descriptor = os.open(seen.path, seen.flags)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - of a descriptor
            while not self._closed and (chunk := file.read(_CHUNK_BYTES)):
                found.update(chunk)
            unchanged = _about(os.fstat(descriptor)) == seen.about
        if not unchanged:
            self._changed.add(seen.path)
        return found.hexdigest() if unchanged and not self._closed else ""


def _look(folder: Path) -> Iterator[_Seen]:
    for path in _files(folder):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                inside = path.relative_to(folder).as_posix()
                seen = _Seen(path, inside, _about(status), status.st_size)
                yield replace(seen, flags=seen.flags | os.O_NOFOLLOW)


def _look_through_links(folder: Path) -> Iterator[_Seen]:
    """The same with links to files, and with folders that the folder itself links to.

    Links to folders further down are left out: they may lead round in a circle.
    """
    linked = [path for path in sorted(folder.glob("*")) if path.is_symlink()]
    for top in (folder, *(path for path in linked if path.is_dir())):
        for path in _files(top):
            with contextlib.suppress(OSError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    inside = path.relative_to(folder).as_posix()
                    yield _Seen(path, inside, _about(status), status.st_size)


def _files(folder: Path) -> Iterator[Path]:
    """What lies below a folder and is none itself, sorted by folder."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (folder.joinpath(parent, name) for name in sorted(names))


def _about(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
