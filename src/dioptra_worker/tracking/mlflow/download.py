"""Downloads from a store that only MLflow's client knows how to reach."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from dioptra_worker.engine.wording import format_exception
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
from dioptra_worker.tracking.mlflow.client import UNREADABLE, client_timeouts
from dioptra_worker.tracking.parallel import parallel_map
from dioptra_worker.tracking.store_address import refuse_unknown_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mlflow.entities import FileInfo
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

    from dioptra_worker.tracking.limits import DownloadListener, Limits

SERVICE = "artifact store"
MAX_DEPTH = 100
"""Folders in each other; a server can make up more without end."""
MAX_PARALLEL_FILES = 8
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
            sizes = _listed(repository, name, is_dir=is_dir, limits=limits)
            _refuse_above_limits(uri, sizes, limits)
            listener.begin(sum(sizes.values()))
            with _timeout_for(max(sizes.values())), _watched(arriving, listener):
                _download(repository, sizes, arriving)
            # An answer that breaks off looks like one that ends, so sizes are compared.
            for path, size in sizes.items():
                if (found := (arriving / path).stat().st_size) != size:
                    words = f"{path!r} came with {found} bytes instead of {size}"
                    raise ServiceUnavailable(words, service=SERVICE)
            refuse_twins({path: arriving / path for path in sizes})
            # What is at the target is whole: it gets there in one step, and last.
            (arriving / name).rename(target)
    except (MlflowException, OSError, *UNREADABLE) as error:
        raise ServiceUnavailable(
            f"the artifact store did not give {uri}: {format_exception(error)}",
            service=SERVICE,
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


def _listed(
    repository: ArtifactRepository, name: str, *, is_dir: bool, limits: Limits
) -> dict[str, int]:
    """The path and the bytes of each file, relative to the repository."""
    if not is_dir:
        found = repository.list_artifacts(None)
        return {entry.path: _size_of(entry) for entry in found if entry.path == name}
    sizes: dict[str, int] = {}
    folders, asked = [name], 0
    # One file more than there may be is enough to know that there are too many.
    while folders and max(len(sizes), asked) <= limits.files:
        folder, asked = folders.pop(), asked + 1
        for entry in repository.list_artifacts(folder):
            _check_path(entry.path, folder)
            if entry.is_dir:
                folders.append(entry.path)
            else:
                sizes[entry.path] = _size_of(entry)
    if asked > limits.files:
        raise ArtifactError(f"{name!r} has more than {limits.files:,} folders")
    return sizes


def _check_path(path: str, folder: str) -> None:
    """See that what a server names in a folder is in there, and can be on a disk."""
    parts = path.split("/")
    inside = path.startswith(f"{folder}/") and not {"", ".", ".."} & set(parts)
    if not inside or "\0" in path or len(parts) > MAX_DEPTH:
        raise ArtifactError(f"{path[:200]!r} cannot be a file's name here")


def _size_of(entry: FileInfo) -> int:
    size = entry.file_size or 0
    if size < 0:
        raise ValueError(f"{size} is no file's size")
    return int(size)


def _download(
    repository: ArtifactRepository, sizes: Mapping[str, int], folder: Path
) -> None:
    """Get the files that were looked at, and no others.

    MLflow's client would ask once more what there is, and may be told otherwise.
    """
    for parent in {(folder / path).parent for path in sizes}:
        parent.mkdir(parents=True, exist_ok=True)
    parallel_map(
        lambda path: repository._download_file(path, str(folder / path)),  # noqa: SLF001
        list(sizes),
        max_workers=MAX_PARALLEL_FILES,
    )


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
