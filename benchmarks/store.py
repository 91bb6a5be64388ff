"""The S3 store of the stack: what boto3 and we make of it alone, and tidying it up."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig, create_transfer_manager

from dioptra_worker.common.environment import environment_variables
from dioptra_worker.common.files.archives import MAX_ARTIFACT_BYTES, MAX_FILES
from dioptra_worker.tracking import download
from dioptra_worker.tracking.limits import Limits
from dioptra_worker.tracking.s3 import client as s3
from dioptra_worker.tracking.s3.upload import S3Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

    from dioptra_worker.api.models import Artifact

_PREFIX = "benchmarks"


class Transfers(Protocol):
    """What folders of files are transferred with."""

    def up(self, folder: Path) -> float:
        """Upload all files of a folder; the seconds that it took."""
        ...

    def down(self, folder: Path, names: list[str]) -> float:
        """Download files that were uploaded; the seconds that it took."""
        ...


class Boto:
    """boto3's managed transfer with its own defaults, on the same bucket."""

    def __init__(self, environment: Mapping[str, str], bucket: str) -> None:
        self._bucket = bucket
        self._s3: S3Client = boto3.client(
            "s3",
            endpoint_url=environment["MLFLOW_S3_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_DEFAULT_REGION"],
        )
        self._s3.list_buckets()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._s3.close()

    def up(self, folder: Path) -> float:
        """Upload all files of a folder; the seconds that it took."""
        files = [path for path in sorted(folder.iterdir()) if path.is_file()]
        began = time.perf_counter()
        with create_transfer_manager(self._s3, TransferConfig()) as transfers:
            waiting = [
                transfers.upload(str(file), self._bucket, f"{_PREFIX}/{file.name}")
                for file in files
            ]
            for transfer in waiting:
                transfer.result()
        return time.perf_counter() - began

    def down(self, folder: Path, names: list[str]) -> float:
        """Download files that were uploaded; the seconds that it took."""
        os.sync()
        began = time.perf_counter()
        with create_transfer_manager(self._s3, TransferConfig()) as transfers:
            waiting = [
                transfers.download(
                    self._bucket, f"{_PREFIX}/{name}", str(folder / name)
                )
                for name in names
            ]
            for transfer in waiting:
                transfer.result()
        return time.perf_counter() - began

    def forget(self) -> None:
        """Remove what `up` has stored."""
        self._remove(_PREFIX + "/")

    def discard(self, artifact: Artifact) -> None:
        """Remove an artifact's objects, which may be large."""
        self._remove(urlsplit(artifact.uri).path.lstrip("/"))

    def _remove(self, prefix: str) -> None:
        pages = self._s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
            keys: list[ObjectIdentifierTypeDef] = [
                {"Key": entry["Key"]} for entry in page.get("Contents", [])
            ]
            if keys:
                self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": keys})


class Alone:
    """What a runner transfers folders with, on the same bucket, and without a job."""

    def __init__(self, environment: Mapping[str, str], bucket: str) -> None:
        self._environment = {
            name: value
            for name, value in environment.items()
            if name.startswith(("AWS_", "MLFLOW_"))
        }
        self._store = f"s3://{bucket}/{_PREFIX}"
        self._uri = ""

    def up(self, folder: Path) -> float:
        """Upload all files of a folder; the seconds that it took."""
        with environment_variables(self._environment):
            s3.client().list_buckets()  # as boto3's, it has been used before
            began = time.perf_counter()
            self._uri = S3Store(self._store).put(folder, "")
            return time.perf_counter() - began

    def down(self, folder: Path, names: list[str]) -> float:
        """Download the folder that was uploaded; the seconds that it took."""
        del names  # the store is asked for them
        os.sync()
        with environment_variables(self._environment):
            began = time.perf_counter()
            download.fetch(
                self._uri,
                folder,
                is_dir=True,
                limits=Limits(files=MAX_FILES, size=MAX_ARTIFACT_BYTES),
                listener=_Listener(),
            )
            return time.perf_counter() - began


class _Listener:
    """Is told how far a download is."""

    def begin(self, size: int) -> None:
        """So many bytes will come."""

    def received(self, count: int) -> None:
        """So many more bytes are there."""


def write_files(folder: Path, files: int, size: int) -> list[str]:
    """Write files of the same size, to the disk; their names."""
    chunk = bytes(range(256)) * 4096
    names = [f"{number:05}.bin" for number in range(files)]
    for name in names:
        left = size
        with Path(folder, name).open("wb") as file:
            while left > 0:
                left -= file.write(chunk[:left])
    os.sync()
    return names
