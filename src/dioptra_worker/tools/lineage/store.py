"""The artifact store, for what a person publishes, fetches and deletes.

MLflow's client, which takes seconds to import, is imported when it is needed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.environment import set_defaults
from dioptra_worker.common.files.archives import MAX_ARTIFACT_BYTES, MAX_FILES
from dioptra_worker.errors import NotFound
from dioptra_worker.job_environment import RUNNER_DEFAULTS
from dioptra_worker.provenance.manifest import FOLDER
from dioptra_worker.tracking.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RECORD_BYTES = 256 << 20
"""Of a manifest, and of evidence."""

_MLFLOW_LIMITS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}
"""A person waits: MLflow's own patience is some four minutes."""


def upload(root: str, path: Path, label: str) -> str:
    """Store a file or folder.

    Args:
        root: Where the run's artifacts are.
        path: The file or folder.
        label: The folder within *root* to put it in.

    Returns:
        Where it is now.

    Raises:
        ServiceError: The store refused, or does not answer.
    """
    _prepare()
    from dioptra_worker.tracking import artifact_store  # noqa: PLC0415 - slow to import

    return artifact_store.store(root).put(path, label)


def remove(root: str, path: str) -> None:
    """Remove a file or folder; it does no harm if there is none.

    Args:
        root: Where the run's artifacts are.
        path: The file or folder within *root*.

    Raises:
        ServiceError: The store refused, or does not answer.
    """
    _prepare()
    from dioptra_worker.tracking import artifact_store  # noqa: PLC0415 - slow to import

    artifact_store.remove(root, path)


def fetch(
    uri: str, target: Path, *, is_dir: bool, max_bytes: int = MAX_ARTIFACT_BYTES
) -> None:
    """Fetch a file or folder.

    Args:
        uri: Where it is.
        target: Where to put it.
        is_dir: Whether it is a folder.
        max_bytes: How large it may be in all.

    Raises:
        NotFound: The store has it not.
        ServiceError: The store refused, or does not answer.
    """
    _prepare()
    from dioptra_worker.tracking import download  # noqa: PLC0415 - slow to import

    limits = Limits(files=MAX_FILES, size=max_bytes)
    download.fetch(uri, target, is_dir=is_dir, limits=limits, listener=_Silent())


def kept(run: Mapping[str, Any], name: str) -> bytes | None:
    """What a worker keeps of a job beside the artifacts of the job's run.

    Args:
        run: The run, as MLflow shows it.
        name: The file's name.

    Returns:
        The file's content; None if there is none.

    Raises:
        ServiceError: The store refused, or does not answer.
    """
    root = str(run["info"]["artifact_uri"]).rstrip("/")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        try:
            fetch(
                f"{root}/{FOLDER}/{name}",
                file,
                is_dir=False,
                max_bytes=MAX_RECORD_BYTES,
            )
        except NotFound:
            return None
        return file.read_bytes()


class _Silent:
    """Is told how far a download is, and tells nobody."""

    def begin(self, size: int) -> None:
        """It begins."""

    def received(self, count: int) -> None:
        """So many bytes more have come."""


def _prepare() -> None:
    set_defaults(RUNNER_DEFAULTS | _MLFLOW_LIMITS)
