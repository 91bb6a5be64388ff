"""Re-exports from `dioptra_worker.sdk.client`."""

from dioptra_worker.sdk.client.errors import (
    APIConnectionError,
    DioptraClientError,
    FieldNameCollisionError,
    FieldsValidationError,
    IllegalArgumentError,
    JSONDecodeError,
    StatusCodeError,
    SubCollectionUrlError,
)
from dioptra_worker.sdk.client.files import DioptraFile
from dioptra_worker.sdk.client.transport import DioptraResponseProtocol
from dioptra_worker.sdk.fallthrough import hidden

__all__ = [
    "APIConnectionError",
    "DioptraClientError",
    "DioptraFile",
    "DioptraResponseProtocol",
    "FieldNameCollisionError",
    "FieldsValidationError",
    "IllegalArgumentError",
    "JSONDecodeError",
    "StatusCodeError",
    "SubCollectionUrlError",
]

__getattr__ = hidden(__spec__)
