"""Re-exports `dioptra_worker.sdk.exceptions`."""

from dioptra_worker.sdk.exceptions import EstimatorPredictGenericPredTypeError

__all__ = [
    "EstimatorPredictGenericPredTypeError",
]
