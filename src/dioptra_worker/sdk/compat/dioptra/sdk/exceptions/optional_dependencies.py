"""Re-exports `dioptra_worker.sdk.exceptions`."""

from dioptra_worker.sdk.exceptions import (
    ARTDependencyError,
    CryptographyDependencyError,
    TensorflowDependencyError,
)

__all__ = [
    "ARTDependencyError",
    "CryptographyDependencyError",
    "TensorflowDependencyError",
]
