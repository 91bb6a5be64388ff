"""Re-exports `dioptra_worker.sdk.exceptions`."""

from pkgutil import extend_path

from dioptra_worker.sdk.exceptions import (
    ARTDependencyError,
    CryptographyDependencyError,
    EstimatorPredictGenericPredTypeError,
    TensorflowDependencyError,
    UnknownPackageError,
    UnknownPluginError,
    UnknownPluginFunctionError,
)

__all__ = [
    "ARTDependencyError",
    "CryptographyDependencyError",
    "EstimatorPredictGenericPredTypeError",
    "TensorflowDependencyError",
    "UnknownPackageError",
    "UnknownPluginError",
    "UnknownPluginFunctionError",
]

__path__ = extend_path(__path__, __name__)
