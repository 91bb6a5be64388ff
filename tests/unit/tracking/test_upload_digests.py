"""Digests of what is uploaded: SHA-256, and what S3 says of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.tracking.upload_digests import UploadDigests

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def md5(data: bytes) -> hashlib._Hash:
    """An MD5."""
    return hashlib.md5(data, usedforsecurity=False)


def _data(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + b"x" * (size % 256)


@pytest.mark.parametrize("size", [0, 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 4 * MIB])
def test_a_file(tmp_path: Path, size: int) -> None:
    """Up to a part's size an object's tag is its MD5; then only its store tells it."""
    file = tmp_path / "model.bin"
    data = _data(size)
    file.write_bytes(data)
    (found,) = UploadDigests(file, part_size=2 * MIB).files()
    assert (found.path, found.size) == ("model.bin", size)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.etag == (md5(data).hexdigest() if size < 2 * MIB else "")


def test_a_file_that_is_read_as_it_is_sent(tmp_path: Path) -> None:
    """Its digest is that of what was read, whatever becomes of the file afterwards."""
    file, data = tmp_path / "model.bin", _data(2 * MIB + 1)
    file.write_bytes(data)
    digests = UploadDigests(file, part_size=2 * MIB)
    for _ in range(2):  # the first time, the store was away
        with digests.open(file) as body:
            read = body.read(2 * MIB) + body.read(2 * MIB)
    file.write_bytes(b"other")
    digests.sent(file, "tag")
    (found,) = digests.files()
    assert read == data
    assert (found.size, found.etag) == (len(data), "tag")
    assert found.sha256 == hashlib.sha256(data).hexdigest()


def test_a_folder(tmp_path: Path) -> None:
    """Each file is told by its path in it; another store has no tags."""
    (tmp_path / "kept/deep").mkdir(parents=True)
    (tmp_path / "kept/deep/b").write_bytes(b"b")
    (tmp_path / "kept/a").write_bytes(b"a")
    found = UploadDigests(tmp_path / "kept", part_size=0).files()
    assert [(it.path, it.etag) for it in found] == [("a", ""), ("deep/b", "")]


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """It is the store's upload that says so."""
    assert UploadDigests(tmp_path / "nothing", part_size=0).files() == []
