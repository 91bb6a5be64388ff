"""The store behind ``s3://``: small files side by side, large ones in parts.

Nothing is held in memory but what is on its way: a file is read as it is sent, and
of a large one a few parts at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dioptra_worker.tracking.parallel import parallel_map
from dioptra_worker.tracking.progress import Progress
from dioptra_worker.tracking.s3 import client as s3
from dioptra_worker.tracking.s3.part_size import MULTIPART_THRESHOLD, TRANSFER
from dioptra_worker.tracking.upload_files import files_to_upload

if TYPE_CHECKING:
    from collections.abc import Iterator
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

    def put(self, path: Path, folder: str) -> str:
        """Upload a file or folder; see `tracking.artifact_store.Store`."""
        inside = f"{folder}/{path.name}" if folder else path.name
        base = f"{self._prefix}/{inside}" if self._prefix else inside
        with s3.translate_errors(
            f"S3 did not take {path.name!r} for {self._uri}/{inside}"
        ):
            uploads = list(_uploads(path, base))
            _send(s3.client(), self._bucket, uploads, what=f"storing {path.name!r}")
        return f"{self._uri}/{inside}"


def _send(client: S3Client, bucket: str, uploads: list[_Upload], *, what: str) -> None:
    progress = Progress(what, total=sum(upload.size for upload in uploads))
    extra = s3.extra_arguments()

    def send(upload: _Upload) -> None:
        with upload.file.open("rb") as body:
            client.put_object(Bucket=bucket, Key=upload.key, Body=body, **extra)
        progress.add(upload.size)

    small = [upload for upload in uploads if upload.size < MULTIPART_THRESHOLD]
    parallel_map(send, small, max_workers=s3.MAX_PARALLEL_FILES)
    for upload in uploads:
        if upload.size >= MULTIPART_THRESHOLD:
            client.upload_file(
                str(upload.file),
                bucket,
                upload.key,
                ExtraArgs=extra,
                Callback=progress.add,
                Config=TRANSFER,
            )


def _uploads(path: Path, base: str) -> Iterator[_Upload]:
    """Every file to upload with its key."""
    for file in files_to_upload(path, service=s3.SERVICE):
        inside = file.relative_to(path).as_posix()
        key = base if file == path else f"{base}/{inside}"
        yield _Upload(file, key, file.stat().st_size)
