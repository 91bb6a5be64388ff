"""Where a job's run is kept: on the MLflow server, or in a folder without any server.

MLflow is imported only for the first, since that alone takes longer than a small job.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dioptra_worker.tracking.base import Tracking


SERVER_MODULES = (
    "dioptra_worker.tracking.mlflow.run",
    "dioptra_worker.tracking.s3.download",
    "dioptra_worker.tracking.mlflow.download",
)
"""What a fork server imports beforehand when its jobs are tracked on a server."""


def backend(folder: str | None) -> Tracking:
    """The keeper of a run.

    Args:
        folder: A folder in the layout of MLflow's file store, or None for the server
            that the environment names.
    """
    if folder is not None:
        from dioptra_worker.tracking.folder_run import FolderTracking  # noqa: PLC0415

        return FolderTracking(Path(folder))
    from dioptra_worker.tracking.mlflow.run import MlflowTracking  # noqa: PLC0415

    return MlflowTracking()
