"""Re-exports `dioptra_worker.sdk.client.files`."""

from dioptra_worker.sdk.client.files import (
    FileTypes,
    select_files_in_directory,
    select_one_or_more_files,
)
from dioptra_worker.sdk.fallthrough import hidden

__all__ = [
    "FileTypes",
    "select_files_in_directory",
    "select_one_or_more_files",
]

__getattr__ = hidden(__spec__)
