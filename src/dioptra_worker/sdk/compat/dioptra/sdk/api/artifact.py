"""Re-exports `dioptra_worker.sdk.artifact`."""

from dioptra_worker.sdk.artifact import ArtifactTaskInterface

__all__ = [
    "ArtifactTaskInterface",
]
