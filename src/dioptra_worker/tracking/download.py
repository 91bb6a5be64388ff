"""An artifact that a job reads, straight from its store to this machine's disk."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMES = ("s3", "mlflow-artifacts")
"""How URIs begin whose stores can be reached from here without the platform's API."""
SLOWEST = 2 << 20
"""Bytes a second at which a server is expected to fetch from its own store, at least.

Servers such as MLflow's and the REST API send nothing before they have all of it.
"""


@dataclass(frozen=True)
class Limits:
    """What an artifact may have at most.

    Attributes:
        files: Files.
        size: Bytes in all of them.
    """

    files: int
    size: int


class Listener(Protocol):
    """Is told how far a download is; from any thread."""

    def begin(self, size: int) -> None:
        """So many bytes will come."""
        ...

    def came(self, count: int) -> None:
        """So many more bytes are there."""
        ...


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk says that does not take a file, whoever sends it."""


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Tell a disk that does not take what comes from a store that does not give it.

    Libraries hide what they met in their own errors, so the words count, too.
    """
    try:
        yield
    except Exception as error:
        for number in _NO_ROOM:
            words = os.strerror(number)
            said = f"[Errno {number}] {words}" in str(error)
            if said or getattr(error, "errno", None) == number:
                raise ArtifactError(not_kept(words)) from error
        raise


def not_kept(words: str) -> str:
    """Say that this worker's disk does not take an artifact."""
    return f"this worker's disk has no room for it (DIOPTRA_WORKER_WORK_DIR): {words}"


def fetch(
    uri: str, target: Path, *, is_dir: bool, limits: Limits, listener: Listener
) -> None:
    """Download a file or a folder.

    Args:
        uri: Where it is, as the tracking server named it.
        target: The file, or the folder for what the artifact's folder holds. What is
            there after a failure is of no use.
        is_dir: Whether it is a folder.
        limits: More is refused.
        listener: Is told how far it is.

    Raises:
        ArtifactError: If it is more than the limits allow, or cannot be kept here.
        ServiceError: If the store did not give all of it, as it was stored.
    """
    # Each imports its own library only: MLflow takes seconds where nothing is warm.
    if uri.startswith("s3://"):
        from dioptra_worker.tracking.s3 import download as s3_download  # noqa: PLC0415

        s3_download.fetch(uri, target, is_dir=is_dir, limits=limits, listener=listener)
    else:
        from dioptra_worker.tracking import mlflow_download  # noqa: PLC0415

        mlflow_download.fetch(
            uri, target, is_dir=is_dir, limits=limits, listener=listener
        )
