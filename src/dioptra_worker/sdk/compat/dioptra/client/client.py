"""Re-exports `dioptra_worker.sdk.client`."""

from dioptra_worker.sdk.client import (
    DioptraClient,
    connect_json_dioptra_client,
    connect_response_dioptra_client,
)

__all__ = [
    "DioptraClient",
    "connect_json_dioptra_client",
    "connect_response_dioptra_client",
]
