"""A run's artifact store: straight to S3 where its URI says so, else through MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from dioptra_worker.errors import ServiceError
from dioptra_worker.tracking import s3

if TYPE_CHECKING:
    from pathlib import Path


class Store(Protocol):
    """Where a run's artifacts go."""

    def put(self, path: Path, folder: str) -> str:
        """Upload a file, or a folder with all in it.

        Args:
            path: The file or folder; it keeps its name.
            folder: Where to put it, relative to the run's artifacts; ``""`` is the top.

        Returns:
            The URI under which it can be found.

        Raises:
            ServiceError: If the store did not take it.
        """
        ...


def store(uri: str) -> Store:
    """The store for a run's artifacts.

    Args:
        uri: As the tracking server gave it, such as ``s3://bucket/0/abc/artifacts``
            or ``mlflow-artifacts:/0/abc/artifacts``.
    """
    if urlsplit(uri).scheme == "s3":
        return s3.S3Store(uri)
    return MlflowStore(uri)


class MlflowStore:
    """A store that only MLflow's client knows how to reach, such as a proxied one."""

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")
        self._repository = get_artifact_repository(uri)

    def put(self, path: Path, folder: str) -> str:
        """Upload a file or folder; see `Store.put`."""
        inside = f"{folder}/{path.name}" if folder else path.name
        try:
            if path.is_dir():
                self._repository.log_artifacts(str(path), inside)
            else:
                self._repository.log_artifact(str(path), folder or None)
        except (MlflowException, OSError) as error:
            raise ServiceError(
                f"the artifact store did not take {path.name!r}: {error}",
                service="artifact store",
            ) from error
        return f"{self._uri}/{inside}"
