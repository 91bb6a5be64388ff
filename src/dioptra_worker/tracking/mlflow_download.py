"""Downloads from a store that only MLflow's client knows how to reach."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import TYPE_CHECKING

from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from dioptra_worker.errors import (
    ArtifactError,
    NotFound,
    ServiceUnavailable,
)
from dioptra_worker.tracking.limits import (
    MIN_RATE,
    disk_full_as_artifact_error,
    refuse_twins,
)
from dioptra_worker.tracking.mlflow_timeouts import client_timeouts
from dioptra_worker.tracking.store_address import refuse_unknown_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mlflow.store.artifact.artifact_repo import ArtifactRepository

    from dioptra_worker.tracking.limits import DownloadListener, Limits

SERVICE = "artifact store"
MAX_DEPTH = 100
"""Folders in each other; a server can make up more without end."""
_POLL_INTERVAL = 0.5
"""Seconds between two looks at how much has come: MLflow does not tell."""


def fetch(
    uri: str, target: Path, *, is_dir: bool, limits: Limits, listener: DownloadListener
) -> None:
    """Download a file or folder; see `dioptra_worker.tracking.download.fetch`."""
    refuse_unknown_store(uri)
    parent, _, name = uri.rstrip("/").rpartition("/")
    arriving = target.with_name(f"{target.name}.arriving")
    try:
        with disk_full_as_artifact_error():
            arriving.mkdir()
            repository = get_artifact_repository(parent)
            listed = _list_files(repository, name, is_dir=is_dir)
            # One more than there may be is enough to know that there are too many.
            sizes = dict(itertools.islice(listed, limits.files + 1))
            _refuse_above_limits(uri, sizes, limits)
            listener.begin(sum(sizes.values()))
            with _timeout_for(max(sizes.values())), _watched(arriving, listener):
                repository.download_artifacts(name, dst_path=str(arriving))
            # An answer that breaks off looks like one that ends, so sizes are compared.
            for path, size in sizes.items():
                if (found := (arriving / path).stat().st_size) != size:
                    words = f"{path!r} came with {found} bytes instead of {size}"
                    raise ServiceUnavailable(words, service=SERVICE)
            refuse_twins({path: arriving / path for path in sizes})
            # What is at the target is whole: it gets there in one step, and last.
            (arriving / name).rename(target)
    except (MlflowException, OSError) as error:
        raise ServiceUnavailable(
            f"the artifact store did not give {uri}: {error}", service=SERVICE
        ) from error


def _refuse_above_limits(uri: str, sizes: Mapping[str, int], limits: Limits) -> None:
    files, size = len(sizes), sum(sizes.values())
    if not files:
        raise NotFound(f"there is nothing at {uri}", service=SERVICE)
    if files > limits.files or size > limits.size:
        raise ArtifactError(f"{uri} has {files:,} files of {size:,} bytes")


def _timeout_for(size: int) -> contextlib.AbstractContextManager[None]:
    """Let the server be silent for as long as it may need to get a file itself.

    MLflow's server reads all of a file from its store before it sends a byte, and a
    client that gives up and asks again has it begin from the start.
    """
    return client_timeouts(seconds=MLFLOW_HTTP_REQUEST_TIMEOUT.get() + size / MIN_RATE)


def _list_files(
    repository: ArtifactRepository, name: str, *, is_dir: bool
) -> Iterator[tuple[str, int]]:
    """The path and the bytes of each file, relative to the repository."""
    for entry in repository.list_artifacts(name if is_dir else None):
        parts = entry.path.split("/")
        if {"", ".", ".."} & set(parts) or len(parts) > MAX_DEPTH:
            raise ArtifactError(f"{entry.path[:200]!r} cannot be a file's name here")
        if entry.is_dir and is_dir:
            yield from _list_files(repository, entry.path, is_dir=True)
        elif is_dir or entry.path == name:
            yield entry.path, entry.file_size or 0


@contextlib.contextmanager
def _watched(folder: Path, listener: DownloadListener) -> Iterator[None]:
    """Tell the listener now and then how much has come into a folder."""
    over = threading.Event()

    def poll() -> None:
        seen = 0
        while not over.wait(_POLL_INTERVAL):
            size = _size(folder)
            if size > seen:
                listener.received(size - seen)
                seen = size

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # it was renamed meanwhile
            size += path.stat().st_size if path.is_file() else 0
    return size
