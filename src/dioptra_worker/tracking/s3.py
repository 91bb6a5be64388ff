"""The store behind ``s3://``: multipart for large files, many files at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error, S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own
    HTTPClientError,
)

from dioptra_worker.errors import ServiceRefused, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

SERVICE = "S3"
FILES_AT_ONCE = 8
_TRANSFER = TransferConfig(max_concurrency=4)


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
        self._s3: S3Client | None = None

    def put(self, path: Path, folder: str) -> str:
        """Upload a file or folder; see `dioptra_worker.tracking.artifacts.Store`."""
        inside = f"{folder}/{path.name}" if folder else path.name
        base = f"{self._prefix}/{inside}" if self._prefix else inside
        uploads = list(_uploads(path, base))
        try:
            if self._s3 is None:
                self._s3 = client()
            if len(uploads) == 1:
                self._upload(*uploads[0])
            else:
                with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
                    list(pool.map(lambda pair: self._upload(*pair), uploads))
        except (Boto3Error, BotoCoreError, ClientError, OSError, ValueError) as error:
            message = f"S3 did not take {path.name!r} for {self._uri}/{inside}: {error}"
            kind = ServiceUnavailable if _may_pass(error) else ServiceRefused
            raise kind(message, service=SERVICE) from error
        return f"{self._uri}/{inside}"

    def _upload(self, file: Path, key: str) -> None:
        assert self._s3 is not None
        self._s3.upload_file(str(file), self._bucket, key, Config=_TRANSFER)


def client() -> S3Client:
    """A client for the endpoint that MLflow uses.

    Stores other than Amazon's often do not know the checksums that boto3 adds since
    1.36, so they are sent only where S3 requires them.
    """
    endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None
    quiet: Literal["when_required", "when_supported"]
    quiet = "when_required" if endpoint else "when_supported"
    careless = os.environ.get("MLFLOW_S3_IGNORE_TLS", "").lower() in {"true", "1"}
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        verify=False if careless else None,  # True would hide AWS_CA_BUNDLE
        config=Config(
            request_checksum_calculation=quiet,
            response_checksum_validation=quiet,
            max_pool_connections=FILES_AT_ONCE * 4,
            retries={"mode": "standard", "max_attempts": 5},
        ),
    )


def _may_pass(error: BaseException) -> bool:
    """Whether a failure may be over when it is tried again."""
    cause = error.__cause__ or error.__context__
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429
    if isinstance(error, S3UploadFailedError) and isinstance(cause, Exception):
        return _may_pass(cause)
    return isinstance(error, HTTPClientError | ConnectionError)


def _uploads(path: Path, base: str) -> Iterator[tuple[Path, str]]:
    """Every file to upload with its key; an empty folder has none."""
    if path.is_file():
        yield path, base
        return
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield file, f"{base}/{file.relative_to(path).as_posix()}"
