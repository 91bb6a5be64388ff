"""Re-exports `dioptra_worker.sdk.exceptions`."""

from dioptra_worker.sdk.exceptions import (
    UnknownPackageError,
    UnknownPluginError,
    UnknownPluginFunctionError,
)

__all__ = [
    "UnknownPackageError",
    "UnknownPluginError",
    "UnknownPluginFunctionError",
]
