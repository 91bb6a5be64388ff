"""A run's artifact store: straight to S3 where its URI says so, else through MLflow."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from dioptra_worker.common.environment import environment_as_it_was
from dioptra_worker.common.text.humanize import first_line
from dioptra_worker.errors import ServiceError, ServiceRefused
from dioptra_worker.tracking.parallel import parallel_map
from dioptra_worker.tracking.s3.upload import S3Store
from dioptra_worker.tracking.store_address import refuse_unknown_store
from dioptra_worker.tracking.upload_files import files_to_upload

if TYPE_CHECKING:
    from dioptra_worker.tracking.upload_digests import UploadDigests

SERVICE = "artifact store"
MAX_PARALLEL_FILES = 8


class Store(Protocol):
    """Where a run's artifacts go.

    Attributes:
        part_size: Bytes from which a file goes to S3 in parts; 0 for what is not S3.
    """

    part_size: int

    def put(
        self, path: Path, folder: str, *, digests: UploadDigests | None = None
    ) -> str:
        """Upload a file, or a folder with all in it.

        Args:
            path: The file or folder; it keeps its name.
            folder: Where to put it, relative to the run's artifacts; ``""`` is the top.
            digests: Opens the files that the store sends in parts.

        Returns:
            The URI under which it can be found.

        Raises:
            ServiceRefused: If it will never take it, as a folder without a file.
            ServiceError: If the store did not take it.
        """
        ...


def store(uri: str) -> Store:
    """The store for a run's artifacts.

    Args:
        uri: As the tracking server gave it, such as ``s3://bucket/0/abc/artifacts``
            or ``mlflow-artifacts:/0/abc/artifacts``.

    Raises:
        ServiceRefused: If it names a host that nobody configured, or nothing that
            MLflow's client can reach.
    """
    refuse_unknown_store(uri)
    if urlsplit(uri).scheme == "s3":
        return S3Store(uri)
    return MlflowStore(uri)


def put_bytes(uri: str, path: str, data: bytes) -> None:
    """Store some bytes of our own beside a run's artifacts.

    Args:
        uri: Of the run's artifacts, as the tracking server gave it.
        path: Where, relative to it.
        data: The bytes.

    Raises:
        ServiceError: If the store did not take them, or nobody configured it.
    """
    refuse_unknown_store(uri)
    if urlsplit(uri).scheme == "s3":
        S3Store(uri).put_bytes(path, data)
        return
    folder, _, name = path.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="dioptra-") as scratch:
        file = Path(scratch, name)
        file.write_bytes(data)
        MlflowStore(uri).put(file, folder)


def remove(uri: str, path: str) -> None:
    """Remove a file or folder from a run's artifacts; harmless if there is none.

    Args:
        uri: Of the run's artifacts, as the tracking server gave it.
        path: The file or folder, relative to it.

    Raises:
        ServiceError: If the store did not do it, or nobody configured it.
    """
    refuse_unknown_store(uri)
    try:
        get_artifact_repository(uri).delete_artifacts(path)
    except (MlflowException, Boto3Error, BotoCoreError, ClientError, OSError) as error:
        raise ServiceError(
            f"the artifact store did not remove {path!r}: {error}",
            service=SERVICE,
        ) from error


class MlflowStore:
    """A store that only MLflow's client knows how to reach, such as a proxied one."""

    part_size = 0

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")
        self._environment = dict(os.environ)  # tasks may change theirs
        try:
            self._repository = get_artifact_repository(uri)
        except (MlflowException, ImportError, OSError, ValueError) as error:
            raise ServiceRefused(
                f"MLflow's client knows no way to {uri[:300]!r}, where the run's"
                f" artifacts are to be: {first_line(error)}",
                service=SERVICE,
            ) from error

    def put(
        self, path: Path, folder: str, *, digests: UploadDigests | None = None
    ) -> str:
        """Upload a file or folder; see `Store.put`."""
        del digests  # reads all files itself
        # MLflow's client reads its variables for each request.
        with environment_as_it_was(self._environment):
            return self._put_all(path, folder)

    def _put_all(self, path: Path, folder: str) -> str:
        inside = f"{folder}/{path.name}" if folder else path.name
        try:
            if path.is_dir():
                parallel_map(
                    lambda file: self._put(
                        file, f"{inside}/{_relative_folder(path, file)}"
                    ),
                    files_to_upload(path, service=SERVICE),
                    max_workers=MAX_PARALLEL_FILES,
                )
            else:
                self._put(path, folder)
        except (MlflowException, OSError) as error:
            raise ServiceError(
                f"the artifact store did not take {path.name!r}: {error}",
                service=SERVICE,
            ) from error
        return f"{self._uri}/{inside}"

    def _put(self, file: Path, folder: str) -> None:
        _refuse_renamed(f"{folder.rstrip('/')}/{file.name}".lstrip("/"))
        self._repository.log_artifact(str(file), folder.rstrip("/") or None)


def _refuse_renamed(path: str) -> None:
    """Refuse what MLflow's client would store under another name: it quotes nothing."""
    parts = path.split("/")
    if (
        unquote(path) != path
        or set("?#") & set(path)
        or any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in path)
        or any(part.startswith(" ") for part in parts)
    ):
        raise ServiceRefused(
            f"MLflow would keep {path!r} under another name, as it has '?', '#', '%' or"
            " a control character in it, or begins with a blank: have the artifact"
            " task choose another one",
            service=SERVICE,
        )


def _relative_folder(root: Path, file: Path) -> str:
    """The folder of a file relative to another; ``""`` when it lies directly in it."""
    return "/".join(file.relative_to(root).parts[:-1])
