"""Re-exports `dioptra_worker.sdk.client`."""

from pkgutil import extend_path

from dioptra_worker.sdk.client import (
    DioptraClient,
    DioptraFile,
    connect_json_dioptra_client,
    connect_response_dioptra_client,
    select_files_in_directory,
    select_one_or_more_files,
)

__all__ = [
    "DioptraClient",
    "DioptraFile",
    "connect_json_dioptra_client",
    "connect_response_dioptra_client",
    "select_files_in_directory",
    "select_one_or_more_files",
]

__path__ = extend_path(__path__, __name__)
