"""The file of a capsule: a ZIP archive that nobody vouches for, written and read.

Its comment has the SHA-256 of all bytes before it, so that nothing of the archive, its
own records included, can be changed unnoticed; who packs it anew leaves that out.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Self

from dioptra_worker.common.files.archives import (
    MAX_ARTIFACT_BYTES,
    MAX_DEPTH,
    MAX_FILES,
    MAX_HEADER_BYTES,
)
from dioptra_worker.common.text.humanize import first_line, size
from dioptra_worker.tools.capsule.errors import BadCapsule, CapsuleError
from dioptra_worker.tools.capsule.layout import SUMS

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 20
_MARK = b"sha256:"
_COMMENT_BYTES = len(_MARK) + 64
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file: two capsules of the same contents are the same bytes."""
_SUM = re.compile(r"([0-9a-f]{64})  (.+)", re.DOTALL)
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,  # a way to pack that Python does not know
    OverflowError,
    KeyError,
)


def write(folder: Path, target: Path) -> None:
    """Pack a folder, with the digest of each file beside them.

    Args:
        folder: What is to be in it.
        target: The file to write; it must not be there.

    Raises:
        CapsuleError: It is there, or cannot be written.
    """
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )
    try:
        with target.open("xb") as raw:
            try:
                _pack(folder, names, raw)
            except BaseException:
                target.unlink()
                raise
    except FileExistsError:
        raise CapsuleError(f"{target} is there already: name another file") from None
    except OSError as error:
        raise CapsuleError(
            f"{target} cannot be written: {error.strerror or error}"
        ) from error


def _pack(folder: Path, names: list[str], raw: IO[bytes]) -> None:
    sums = "".join(f"{digest_of(folder / name)}  {name}\n" for name in names)
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            with (folder / name).open("rb") as file:
                _add(packed, name, file)
        _add(packed, SUMS, io.BytesIO(sums.encode()))
        packed.comment = _MARK + b"0" * 64
    end = raw.seek(0, os.SEEK_END) - _COMMENT_BYTES
    raw.flush()
    with Path(raw.name).open("rb") as written:
        digest = _digest(written, end)
    raw.seek(end)
    raw.write(_MARK + digest.encode())


def _add(packed: zipfile.ZipFile, name: str, file: IO[bytes]) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    with packed.open(info, "w", force_zip64=True) as member:
        while chunk := file.read(_CHUNK_BYTES):
            member.write(chunk)


def can_hold(name: str) -> bool:
    """Whether a capsule may have a file of that name.

    A backslash leads elsewhere on some machines, and its lists have a name a line.
    """
    return not {"\\", "\n"} & {*name} and len(name) <= MAX_HEADER_BYTES


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(file: IO[bytes], count: int) -> str:
    """The SHA-256 of the first bytes of a file, which is left behind them."""
    digest = hashlib.sha256()
    file.seek(0)
    while count > 0 and (chunk := file.read(min(count, _CHUNK_BYTES))):
        digest.update(chunk)
        count -= len(chunk)
    return digest.hexdigest()


class Archive:
    """A capsule's file, open to be read; a context.

    Attributes:
        path: The file.
        names: The paths of the files in it.
    """

    def __init__(self, path: Path) -> None:
        """Open it and look at what it says that it holds.

        Raises:
            BadCapsule: It is no archive, or holds what is not unpacked: a path that
                leads out, a link, a name twice, too much.
        """
        self.path = path
        try:
            self._packed = zipfile.ZipFile(path)
        except _DAMAGED as error:
            raise BadCapsule(f"{path} is no capsule: {first_line(error)}") from None
        except OSError as error:
            raise BadCapsule(f"{path} cannot be read: {error.strerror}") from error
        try:
            self._members = self._looked_through()
        except BaseException:
            self._packed.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._packed.close()

    @property
    def names(self) -> list[str]:
        """The paths of the files in it."""
        return sorted(self._members)

    def size(self, name: str) -> int:
        """The bytes of a file in it."""
        return self._members[name].file_size

    def read(self, name: str, *, max_bytes: int = 64 << 20) -> bytes:
        """A file of it, whole.

        Raises:
            BadCapsule: There is none, it is larger, or it is damaged.
        """
        if name not in self._members:
            raise BadCapsule(f"{self.path} has no {name}: it is no capsule")
        found = io.BytesIO()
        for chunk in self.chunks(name):
            found.write(chunk)
            if found.tell() > max_bytes:
                raise BadCapsule(f"{name} in {self.path} is larger than {max_bytes:,}")
        return found.getvalue()

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file of it, piece by piece; no more than it says that it has.

        Raises:
            BadCapsule: It is damaged.
        """
        left = self._members[name].file_size
        try:
            with self._packed.open(self._members[name]) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    left -= len(chunk)
                    if left < 0:
                        raise BadCapsule(f"{name} in {self.path} has no end")
                    yield chunk
        except (*_DAMAGED, OSError) as error:  # as of a place that no file has
            raise BadCapsule(
                f"{name} in {self.path} is damaged: {first_line(error)}"
            ) from None
        if left:
            raise BadCapsule(f"{name} in {self.path} has {left:,} bytes less than said")

    def digest(self, name: str) -> str:
        """The SHA-256 of a file of it, in hexadecimal.

        Raises:
            BadCapsule: It is damaged.
        """
        digest = hashlib.sha256()
        for chunk in self.chunks(name):
            digest.update(chunk)
        return digest.hexdigest()

    def sums(self) -> dict[str, str]:
        """What it says that the SHA-256 of each file is, by its path.

        Raises:
            BadCapsule: It does not say so.
        """
        found: dict[str, str] = {}
        text = self.read(SUMS).decode("utf-8", "replace")
        for line in text.removesuffix("\n").split("\n"):  # names have other ends
            match = _SUM.fullmatch(line)
            if match is None or match[2] in found:
                raise BadCapsule(f"{SUMS} in {self.path} was changed: {line[:200]!r}")
            found[match[2]] = match[1]
        return found

    def is_as_written(self) -> bool | None:
        """Whether the archive has the bytes that were written; None if nobody tells."""
        if not self._packed.comment.startswith(_MARK):
            return None
        with self.path.open("rb") as file:
            found = _digest(file, self.path.stat().st_size - _COMMENT_BYTES)
        return self._packed.comment == _MARK + found.encode()

    def extract(self, target: Path) -> None:
        """Unpack all of it into a folder.

        Raises:
            BadCapsule: It is damaged, or its names cannot be beside each other here.
            OSError: It cannot be written, as on a full disk.
        """
        for name in self.names:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                file = path.open("xb")
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                raise BadCapsule(
                    f"{self.path} holds {name!r} beside a name that is the same here"
                ) from None
            with file:
                for chunk in self.chunks(name):
                    file.write(chunk)

    def _looked_through(self) -> dict[str, zipfile.ZipInfo]:
        members = self._packed.infolist()
        if len(members) > MAX_FILES:
            raise BadCapsule(f"{self.path} has more than {MAX_FILES:,} files")
        if sum(info.file_size for info in members) > MAX_ARTIFACT_BYTES:
            limit = size(MAX_ARTIFACT_BYTES)
            raise BadCapsule(f"{self.path} is larger than {limit} when unpacked")
        found: dict[str, zipfile.ZipInfo] = {}
        for info in members:
            if info.filename.endswith("/") and not info.file_size:
                continue
            self._check(info)
            if info.filename in found:
                raise BadCapsule(f"{self.path} holds {info.filename[:200]!r} twice")
            found[info.filename] = info
        return found

    def _check(self, info: zipfile.ZipInfo) -> None:
        inside, name = PurePosixPath(info.filename), info.filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        unsafe = (
            not can_hold(name)
            or inside.is_absolute()
            or ".." in inside.parts
            or inside.as_posix() != name  # as of a folder that has content
            or "\0" in info.orig_filename
            or len(inside.parts) > MAX_DEPTH
            or kind not in {0, stat.S_IFREG}
            or info.flag_bits & _ENCRYPTED
            or info.compress_type not in _METHODS
        )
        if unsafe:
            raise BadCapsule(f"{self.path} holds something unsafe: {name[:200]!r}")
