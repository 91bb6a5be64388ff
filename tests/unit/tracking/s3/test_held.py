"""What S3 has of an artifact is told by its checksums, or by its content."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import pytest
from botocore.response import StreamingBody

from dioptra_worker.provenance.manifest import FileDigest
from dioptra_worker.tracking.s3 import client as s3
from dioptra_worker.tracking.s3.held import held_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = b"some content"
SHA = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()


class Bucket:
    """A store of one bucket.

    Attributes:
        objects: Content and tag, by key.
        read: The keys whose content was fetched.
        encryption: How all of it is encrypted.
    """

    def __init__(self, objects: dict[str, tuple[bytes, str]]) -> None:
        self.objects = objects
        self.read: list[str] = []
        self.encryption = ""

    def get_paginator(self, _operation: str) -> Bucket:
        """Itself."""
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        """One page for each object that begins so."""
        assert Bucket == "bucket"
        for key, (data, tag) in self.objects.items():
            if key.startswith(Prefix):
                yield {"Contents": [{"Key": key, "Size": len(data), "ETag": tag}]}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        """An object's content."""
        assert Bucket == "bucket"
        self.read.append(Key)
        data = self.objects[Key][0]
        return {"Body": StreamingBody(io.BytesIO(data), len(data))}

    def head_object(self, **_: str) -> dict[str, Any]:
        """How an object is encrypted."""
        return {"ServerSideEncryption": self.encryption}


def _held(
    bucket: Bucket, path: str, monkeypatch: pytest.MonkeyPatch, *, may_read: int = 99
) -> Any:
    monkeypatch.setattr(s3, "client", lambda: bucket)
    file = FileDigest(path=path, size=len(DATA), sha256=SHA, etag=MD5)
    return held_objects("s3://bucket/run/model", [file], may_read=may_read)


def test_an_equal_tag_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched; what only begins with the same name is another artifact."""
    tag = f'"{MD5}"'
    bucket = Bucket(
        {"run/model": (DATA, tag), "run/model2": (b"", tag), "run/model/x": (b"", tag)}
    )
    found = _held(bucket, "model", monkeypatch)
    assert {path: it.etag for path, it in found.items()} == {"model": MD5}
    assert bucket.read == []


@pytest.mark.parametrize("tag", ["", '""', '"no checksum"', '"' + "0" * 32 + '-2"'])
def test_without_a_checksum_the_content_is_read(
    tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store without one, and one with that of other parts."""
    bucket = Bucket({"run/model/deep/a": (DATA[::-1], tag)})
    found = _held(bucket, "deep/a", monkeypatch)
    assert found["deep/a"].sha256 == hashlib.sha256(DATA[::-1]).hexdigest()
    assert bucket.read == ["run/model/deep/a"]


def test_no_more_is_read_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then its size is all that is known, and a tag unless that is none."""
    other = f'"{"0" * 32}"'
    bucket = Bucket({"run/model": (DATA, other)})
    found = _held(bucket, "model", monkeypatch, may_read=1)
    assert (found["model"].etag, found["model"].sha256) == ("0" * 32, "")
    bucket.encryption = "aws:kms"
    found = _held(bucket, "model", monkeypatch, may_read=1)
    assert (found["model"].etag, found["model"].sha256) == ("", "")
    assert bucket.read == []


def test_a_half_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size says all."""
    bucket = Bucket({"run/model": (DATA[:3], '"x"')})
    assert _held(bucket, "model", monkeypatch)["model"].size == 3
    assert bucket.read == []
