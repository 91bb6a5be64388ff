"""An artifact that a job reads, straight from its store to this machine's disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dioptra_worker.tracking.limits import DownloadListener, Limits

SCHEMES = ("s3", "mlflow-artifacts")
"""How URIs begin whose stores can be reached from here without the platform's API."""


def fetch(
    uri: str, target: Path, *, is_dir: bool, limits: Limits, listener: DownloadListener
) -> Mapping[Path, str]:
    """Download a file or a folder.

    Args:
        uri: Where it is, as the tracking server named it.
        target: The file, or the folder for what the artifact's folder holds. What is
            there after a failure is of no use.
        is_dir: Whether it is a folder.
        limits: More is refused.
        listener: Is told how far it is.

    Returns:
        The SHA-256 of files whose digest was taken while they came.

    Raises:
        ArtifactError: If it is more than the limits allow, or cannot be kept here.
        ServiceError: If the store did not give all of it, as it was stored.
    """
    # Each imports its own library only: MLflow takes seconds where nothing is warm.
    if uri.startswith("s3://"):
        from dioptra_worker.tracking.s3 import download as s3_download  # noqa: PLC0415

        return s3_download.fetch(
            uri, target, is_dir=is_dir, limits=limits, listener=listener
        )
    from dioptra_worker.tracking.mlflow import download as mlflow_download  # noqa: PLC0415

    mlflow_download.fetch(uri, target, is_dir=is_dir, limits=limits, listener=listener)
    return {}
