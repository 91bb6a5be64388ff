"""The store behind ``s3://``: small files side by side, large ones in parts.

Nothing is held in memory but what is on its way: a file is read as it is sent, and
of a large one a few parts at a time. A large file's digest is taken on that way.
"""

from __future__ import annotations

import contextlib
import mimetypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dioptra_worker.common.environment import environment_as_it_was
from dioptra_worker.tracking.parallel import parallel_map
from dioptra_worker.tracking.progress import Progress
from dioptra_worker.tracking.s3 import client as s3
from dioptra_worker.tracking.s3 import patterned_requests, sending_parts
from dioptra_worker.tracking.s3.part_size import MULTIPART_THRESHOLD
from dioptra_worker.tracking.upload_files import files_to_upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_s3 import S3Client

    from dioptra_worker.tracking.s3.patterned_requests import PatternedRequests
    from dioptra_worker.tracking.upload_digests import UploadDigests


@dataclass(frozen=True)
class _Upload:
    file: Path
    key: str
    size: int


class S3Store:
    """Uploads to a prefix of a bucket."""

    part_size = MULTIPART_THRESHOLD

    def __init__(self, uri: str) -> None:
        """Prepare; nothing is sent yet.

        Args:
            uri: The run's artifacts, such as ``s3://bucket/0/abc/artifacts``.
        """
        parts = urlsplit(uri)
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._uri = uri.rstrip("/")
        self._environment = dict(os.environ)  # tasks may change theirs

    def put(
        self, path: Path, folder: str, *, digests: UploadDigests | None = None
    ) -> str:
        """Upload a file or folder; see `tracking.artifact_store.Store`."""
        inside = f"{folder}/{path.name}" if folder else path.name
        base = f"{self._prefix}/{inside}" if self._prefix else inside
        what = f"S3 did not take {path.name!r} for {self._uri}/{inside}"
        with contextlib.ExitStack() as stack:
            with environment_as_it_was(self._environment):
                stack.enter_context(s3.translate_errors(what))
                client, extra = s3.client(), s3.extra_arguments()
            upload = _Uploading(client, self._bucket, extra, digests)
            upload.send(list(_uploads(path, base)), what=f"storing {path.name!r}")
        return f"{self._uri}/{inside}"

    def put_bytes(self, path: str, data: bytes) -> None:
        """Store some bytes under a path.

        Raises:
            ServiceError: If S3 did not take them.
        """
        key = f"{self._prefix}/{path}" if self._prefix else path
        with s3.translate_errors(f"S3 did not take {self._uri}/{path}"):
            s3.client().put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data,
                **{**_content(Path(path)), **s3.extra_arguments()},
            )


@dataclass(frozen=True)
class _Uploading:
    """Uploads to one bucket.

    Attributes:
        client: Connected to the store.
        bucket: Its name.
        extra: What the operator adds to each upload.
        digests: Reads large files, if their digests are wanted.
    """

    client: S3Client
    bucket: str
    extra: Mapping[str, Any]
    digests: UploadDigests | None

    def send(self, uploads: list[_Upload], *, what: str) -> None:
        """Send all; large files one after the other, in parts side by side."""
        progress = Progress(what, total=sum(upload.size for upload in uploads))
        small = [upload for upload in uploads if upload.size < MULTIPART_THRESHOLD]
        self._send_all_small(small, progress)
        for upload in uploads:
            if upload.size >= MULTIPART_THRESHOLD:
                self._send_large(upload, progress)

    def _send_large(self, upload: _Upload, progress: Progress) -> None:
        file, digests = upload.file, self.digests
        with file.open("rb") if digests is None else digests.open(file) as body:
            etag = sending_parts.send(
                self.client,
                body,
                bucket=self.bucket,
                key=upload.key,
                size=upload.size,
                extra={**_content(file), **self.extra},
                on_sent=progress.add,
            )
        if digests is not None:
            digests.sent(file, etag)

    def _send_all_small(self, uploads: list[_Upload], progress: Progress) -> None:
        """Send files side by side; the first is the pattern for the others."""
        if not uploads:
            return
        first, *others = uploads
        with patterned_requests.observed() as sent:
            self._send_small(first)
        progress.add(first.size)
        pattern = patterned_requests.after(
            self.client, sent, key=first.key, own=self._own(first)
        )

        def send(upload: _Upload) -> None:
            if pattern is None or not self._send_like(pattern, upload):
                self._send_small(upload)
            progress.add(upload.size)

        parallel_map(send, others, max_workers=s3.MAX_PARALLEL_FILES)

    def _send_small(self, upload: _Upload) -> None:
        about = {**self.extra, **self._own(upload)}
        with upload.file.open("rb") as body:
            self.client.put_object(
                Bucket=self.bucket, Key=upload.key, Body=body, **about
            )

    def _send_like(self, pattern: PatternedRequests, upload: _Upload) -> bool:
        """Whether a file was stored after a pattern."""
        if upload.size > patterned_requests.MAX_BYTES:
            return False
        with upload.file.open("rb") as file:
            body = file.read(patterned_requests.MAX_BYTES + 1)
        if len(body) > patterned_requests.MAX_BYTES:  # it grows
            return False
        return pattern.put(upload.key, body, self._own(upload))

    def _own(self, upload: _Upload) -> dict[str, str]:
        """What is told of one file alone, as the operator says nothing of all."""
        found = _content(upload.file)
        return {name: text for name, text in found.items() if name not in self.extra}


def _content(file: Path) -> dict[str, str]:
    """What a file holds, by its name, as MLflow's own store tells it to browsers."""
    kind, encoding = mimetypes.guess_type(file.name)
    found = {"ContentType": kind, "ContentEncoding": encoding}
    return {name: value for name, value in found.items() if value is not None}


def _uploads(path: Path, base: str) -> Iterator[_Upload]:
    """Every file to upload with its key."""
    for file in files_to_upload(path, service=s3.SERVICE):
        inside = file.relative_to(path).as_posix()
        key = base if file == path else f"{base}/{inside}"
        yield _Upload(file, key, file.stat().st_size)
