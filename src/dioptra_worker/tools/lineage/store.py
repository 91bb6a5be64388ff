"""The artifact store, for what a person publishes and deletes.

MLflow's client, which takes seconds to import, is imported when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.common.environment import set_defaults
from dioptra_worker.settings import RUNNER_DEFAULTS

if TYPE_CHECKING:
    from pathlib import Path

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


def _prepare() -> None:
    set_defaults(RUNNER_DEFAULTS | _MLFLOW_LIMITS)
