"""Downloads from ``s3://``: small files side by side, large ones in parallel ranges.

Nothing is held in memory but what is on its way. All ranges of a file are of the same
object, its size must be what S3 says, and so must its checksum where S3 tells one.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, cast

from boto3.exceptions import RetriesExceededError
from s3transfer import exceptions as s3transfer

from dioptra_worker.errors import ArtifactError, NotFound, ServiceUnavailable
from dioptra_worker.tracking.limits import disk_full_as_artifact_error, refuse_twins
from dioptra_worker.tracking.parallel import parallel_map
from dioptra_worker.tracking.s3 import client as s3
from dioptra_worker.tracking.s3 import patterned_requests
from dioptra_worker.tracking.s3.digested_file import DigestedFile
from dioptra_worker.tracking.s3.encryption import (
    hides_checksum,
    says_it_hides_checksum,
)
from dioptra_worker.tracking.s3.part_size import MULTIPART_THRESHOLD, TRANSFER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from boto3.exceptions import Boto3Error
    from mypy_boto3_s3 import S3Client

    from dioptra_worker.tracking.limits import DownloadListener, Limits
    from dioptra_worker.tracking.s3.patterned_requests import Got, PatternedRequests

_CHUNK = 1 << 18
_MD5 = re.compile(r'"?(?P<digest>[0-9a-f]{32})"?')
"""An object's tag, if it was stored as a whole; of several parts it has a hyphen."""


MAX_IDLE_PAGES = 1000
"""Pages of a folder's list without a file; each has 1,000 marks of folders at most."""


@dataclass(frozen=True)
class _Object:
    key: str
    size: int
    tag: str
    file: Path


def fetch(
    uri: str, target: Path, *, is_dir: bool, limits: Limits, listener: DownloadListener
) -> Mapping[Path, str]:
    """Download a file or folder; see `dioptra_worker.tracking.download.fetch`."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client = s3.client()
    with s3.translate_errors(f"S3 did not give {uri}"), disk_full_as_artifact_error():
        if is_dir:
            objects = list(_list_objects(client, bucket, key, target, limits))
        else:
            objects = [_head_object(client, bucket, key, target)]
        size = sum(item.size for item in objects)
        if not objects:
            raise NotFound(f"S3 has nothing below {uri}", service=s3.SERVICE)
        if size > limits.size:
            raise ArtifactError(f"{uri} has more than {limits.size:,} bytes")
        listener.begin(size)
        for folder in {item.file.parent for item in objects}:
            folder.mkdir(parents=True, exist_ok=True)
        download = _Download(client, bucket, listener)
        download.get_all(objects)
        refuse_twins({item.key: item.file for item in objects})
    return download.digests


class _Download:
    """Gets objects of one bucket.

    Attributes:
        digests: The SHA-256 of large files, taken while they came.
    """

    def __init__(
        self, client: S3Client, bucket: str, listener: DownloadListener
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._listener = listener
        self.digests: dict[Path, str] = {}

    def get_all(self, objects: list[_Object]) -> None:
        """Get them all, and see that each is what S3 has."""
        small = [item for item in objects if item.size < MULTIPART_THRESHOLD]
        self._get_all_small(small)
        for item in objects:
            if item.size >= MULTIPART_THRESHOLD:
                self._get_large(item)

    def _get_all_small(self, items: list[_Object]) -> None:
        """Get objects side by side; the first is the pattern for the others."""
        if not items:
            return
        first, *others = items
        with patterned_requests.observed() as sent:
            self._get_small(first)
        pattern = patterned_requests.after(self._client, sent, key=first.key, own={})

        def get(item: _Object) -> None:
            if pattern is None or not self._get_like(pattern, item):
                self._get_small(item)

        parallel_map(get, others, max_workers=s3.MAX_PARALLEL_FILES)

    def _get_like(self, pattern: PatternedRequests, item: _Object) -> bool:
        """Whether an object was got after a pattern; if not, it may be tried again."""
        if item.size > patterned_requests.MAX_BYTES:
            return False
        got = pattern.get(item.key, tag=item.tag, size=item.size)
        if got is None or not _is_content(item, got):
            return False
        item.file.write_bytes(got.content)
        self._listener.received(item.size)
        return True

    def _get_small(self, item: _Object) -> None:
        # `IfMatch`: what was replaced since it was listed is an error, not a file of
        # another size or a mixture. For large files boto3 sends it with every range.
        answer = self._client.get_object(
            Bucket=self._bucket, Key=item.key, IfMatch=item.tag
        )
        with (
            contextlib.closing(answer["Body"]) as body,
            item.file.open("wb") as file,
        ):
            left = item.size
            for chunk in body.iter_chunks(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise _damaged(item.key, f"more than {item.size} bytes")
                file.write(chunk)
                self._listener.received(len(chunk))
        self._verify(item)

    def _get_large(self, item: _Object) -> None:
        try:
            with DigestedFile(item.file) as file:
                self._client.download_fileobj(
                    self._bucket,
                    item.key,
                    cast("IO[bytes]", file),
                    Callback=self._listener.received,
                    Config=TRANSFER,
                )
                sha256 = file.sha256(item.size)
        except s3transfer.RetriesExceededError as error:
            last = cast("Boto3Error", error.last_exception)
            raise RetriesExceededError(last) from error
        except s3transfer.S3DownloadFailedError as error:
            words = f"{item.key!r} was replaced while it came: {error}"
            raise ServiceUnavailable(words, service=s3.SERVICE) from error
        self._verify(item)
        if sha256:
            self.digests[item.file] = sha256

    def _verify(self, item: _Object) -> None:
        """See that a file is what was stored.

        Raises:
            ServiceUnavailable: If it is not.
        """
        found = item.file.stat().st_size
        if found != item.size:
            raise _damaged(item.key, f"{found} bytes instead of {item.size}")
        # A tag is the MD5 of what was stored, unless it came in parts or encrypted: of
        # those the size is all there is to compare.
        checksum = _MD5.fullmatch(item.tag)
        if checksum is None:
            return
        with item.file.open("rb") as file:
            digest = hashlib.file_digest(
                file, lambda: hashlib.md5(usedforsecurity=False)
            ).hexdigest()
        if digest == checksum["digest"]:
            return
        if not hides_checksum(self._client, self._bucket, item.key):
            raise _damaged(item.key, f"the checksum {digest} instead of {item.tag}")


def _head_object(client: S3Client, bucket: str, key: str, file: Path) -> _Object:
    try:
        head = client.head_object(Bucket=bucket, Key=key)
    except client.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
            raise
        words = f"S3 does not have s3://{bucket}/{key} (MLFLOW_S3_ENDPOINT_URL is"
        raise NotFound(f"{words} {s3.endpoint()})", service=s3.SERVICE) from error
    return _Object(key, head["ContentLength"], head["ETag"], file)


def _list_objects(
    client: S3Client, bucket: str, key: str, folder: Path, limits: Limits
) -> Iterator[_Object]:
    """All objects of a folder; what only marks a folder is none."""
    prefix = f"{key.rstrip('/')}/"
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix
    )
    files = idle = 0
    for page in pages:
        before = files
        for entry in page.get("Contents", []):
            inside = entry["Key"].removeprefix(prefix)
            if not inside or inside.endswith("/"):
                continue
            files += 1
            if files > limits.files:
                words = f"s3://{bucket}/{key} has more than {limits.files:,} files"
                raise ArtifactError(words)
            if {"", ".", ".."} & set(inside.split("/")):
                raise ArtifactError(f"{entry['Key']!r} cannot be a file's name here")
            file = folder / inside
            yield _Object(entry["Key"], entry["Size"], entry["ETag"], file)
        idle += files == before
        if idle > MAX_IDLE_PAGES:
            words = f"s3://{bucket}/{key} is listed without an end, and without files"
            raise ArtifactError(words)


def _is_content(item: _Object, got: Got) -> bool:
    """Whether it has the checksum that its object has, if that has any."""
    checksum = _MD5.fullmatch(item.tag)
    if checksum is None or says_it_hides_checksum(got.headers):
        return True
    digest = hashlib.md5(got.content, usedforsecurity=False).hexdigest()
    return digest == checksum["digest"]


def _damaged(key: str, words: str) -> ServiceUnavailable:
    return ServiceUnavailable(f"{key!r} came with {words}", service=s3.SERVICE)
