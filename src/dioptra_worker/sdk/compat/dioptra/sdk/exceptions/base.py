"""Re-exports `dioptra_worker.sdk.exceptions`."""

from dioptra_worker.sdk.exceptions import (
    BaseDioptraError,
    BaseGenericsRegistryError,
    BaseOptionalDependencyError,
    BasePyPlugsException,
    BaseTaskEngineError,
    BaseTaskPluginError,
)

__all__ = [
    "BaseDioptraError",
    "BaseGenericsRegistryError",
    "BaseOptionalDependencyError",
    "BasePyPlugsException",
    "BaseTaskEngineError",
    "BaseTaskPluginError",
]
