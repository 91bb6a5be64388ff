"""The store behind ``s3://``: small files side by side, large ones in parts.

Nothing is held in memory but what is on its way: a file is read as it is sent, and
of a large one a few parts at a time.
"""

from __future__ import annotations

import contextlib
import mimetypes
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dioptra_worker.common.environment import environment_as_it_was
from dioptra_worker.tracking.parallel import parallel_map
from dioptra_worker.tracking.progress import Progress
from dioptra_worker.tracking.s3 import client as s3
from dioptra_worker.tracking.s3.part_size import MULTIPART_THRESHOLD, TRANSFER
from dioptra_worker.tracking.upload_files import files_to_upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class _Upload:
    file: Path
    key: str
    size: int


class S3Store:
    """Uploads to a prefix of a bucket."""

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

    def put(self, path: Path, folder: str) -> str:
        """Upload a file or folder; see `tracking.artifact_store.Store`."""
        inside = f"{folder}/{path.name}" if folder else path.name
        base = f"{self._prefix}/{inside}" if self._prefix else inside
        what = f"S3 did not take {path.name!r} for {self._uri}/{inside}"
        with contextlib.ExitStack() as stack:
            with environment_as_it_was(self._environment):
                stack.enter_context(s3.translate_errors(what))
                client, extra = s3.client(), s3.extra_arguments()
            upload = _Uploading(client, self._bucket, extra)
            upload.send(list(_uploads(path, base)), what=f"storing {path.name!r}")
        return f"{self._uri}/{inside}"


@dataclass(frozen=True)
class _Uploading:
    """Uploads to one bucket.

    Attributes:
        client: Connected to the store.
        bucket: Its name.
        extra: What the operator adds to each upload.
    """

    client: S3Client
    bucket: str
    extra: Mapping[str, Any]

    def send(self, uploads: list[_Upload], *, what: str) -> None:
        """Send all; large files one after the other, in parts side by side."""
        progress = Progress(what, total=sum(upload.size for upload in uploads))
        small = [upload for upload in uploads if upload.size < MULTIPART_THRESHOLD]
        parallel_map(
            lambda upload: self._send_small(upload, progress),
            small,
            max_workers=s3.MAX_PARALLEL_FILES,
        )
        for upload in uploads:
            if upload.size >= MULTIPART_THRESHOLD:
                self.client.upload_file(
                    str(upload.file),
                    self.bucket,
                    upload.key,
                    ExtraArgs={**_content(upload.file), **self.extra},
                    Callback=progress.add,
                    Config=TRANSFER,
                )

    def _send_small(self, upload: _Upload, progress: Progress) -> None:
        about = {**_content(upload.file), **self.extra}
        with upload.file.open("rb") as body:
            self.client.put_object(
                Bucket=self.bucket, Key=upload.key, Body=body, **about
            )
        progress.add(upload.size)


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
