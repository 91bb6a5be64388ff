"""The client of the Dioptra REST API that plugins and scripts use."""

from __future__ import annotations

from dioptra_worker.sdk.client.client import (
    DioptraClient,
    connect_json_dioptra_client,
    connect_response_dioptra_client,
)
from dioptra_worker.sdk.client.files import (
    DioptraFile,
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
