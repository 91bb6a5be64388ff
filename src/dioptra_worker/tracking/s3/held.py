"""What S3 holds of an artifact: the sizes and checksums of its objects."""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING

from dioptra_worker.provenance.receipt import HeldFile
from dioptra_worker.tracking.s3 import client as s3
from dioptra_worker.tracking.s3.encryption import hides_checksum

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_s3 import S3Client

    from dioptra_worker.provenance.manifest import FileDigest

_CHUNK_BYTES = 1 << 20
_ETAG = re.compile("[0-9a-f]{32}(-[0-9]+)?")


def held_objects(
    uri: str, files: Iterable[FileDigest], *, may_read: int
) -> dict[str, HeldFile]:
    """What S3 has of an artifact, by the path in it.

    Where its own checksums (``ETag``) can be compared, no content is fetched. Some
    stores have none, and of encrypted objects they are none.

    Args:
        uri: The artifact: one object, or what begins those of a folder.
        files: The files that it is to have; the path of a single one is its name.
        may_read: Bytes that may be fetched, in all, of objects without a checksum.

    Raises:
        ServiceError: If S3 cannot be asked.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    key = key.rstrip("/")
    wanted = {file.path: file for file in files}
    found: dict[str, HeldFile] = {}
    with s3.translate_errors(f"S3 did not list {uri}"):
        client = s3.client()
        for name, path, told in _listed(client, bucket, key):
            file = wanted.get(path)
            if file is None:
                continue
            found[path] = told
            if told.size != file.size or (file.etag and told.etag == file.etag):
                continue
            if file.size <= may_read:
                may_read -= file.size
                sha256 = _digest(client, bucket, name)
                found[path] = HeldFile(size=told.size, sha256=sha256)
            elif told.etag and hides_checksum(client, bucket, name):
                found[path] = HeldFile(size=told.size)
    return found


def _listed(
    client: S3Client, bucket: str, key: str
) -> Iterator[tuple[str, str, HeldFile]]:
    """Key, path in the artifact, and what is told of each object of an artifact."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    for page in pages:
        for entry in page.get("Contents", []):
            name, etag = entry["Key"], entry.get("ETag", "").strip('"')
            is_file = name == key
            if not is_file and name[len(key)] != "/":
                continue
            path = key.rpartition("/")[2] if is_file else name[len(key) + 1 :]
            tag = etag if _ETAG.fullmatch(etag) else ""
            yield name, path, HeldFile(size=entry["Size"], etag=tag)


def _digest(client: S3Client, bucket: str, key: str) -> str:
    """The SHA-256 of an object's content."""
    found = hashlib.sha256()
    with contextlib.closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()
