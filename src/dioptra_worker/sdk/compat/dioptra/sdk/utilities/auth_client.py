"""Re-exports `dioptra_worker.sdk.auth_client`."""

from dioptra_worker.sdk.auth_client import get_authenticated_worker_client

__all__ = [
    "get_authenticated_worker_client",
]
