"""What downloads have in common: limits, a listener, and a disk that is full."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


MIN_RATE = 2 << 20
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


class DownloadListener(Protocol):
    """Is told how far a download is; from any thread."""

    def begin(self, size: int) -> None:
        """So many bytes will come."""
        ...

    def received(self, count: int) -> None:
        """So many more bytes are there."""
        ...


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk says that does not take a file, whoever sends it."""


@contextlib.contextmanager
def disk_full_as_artifact_error() -> Iterator[None]:
    """Turn what a full disk raises into `ArtifactError`; no store is to blame for it.

    Libraries put the system's error into one of their own, so its words count, too.
    """
    try:
        yield
    except Exception as error:
        for number in _DISK_FULL:
            words = os.strerror(number)
            said = f"[Errno {number}] {words}" in str(error)
            if said or getattr(error, "errno", None) == number:
                raise ArtifactError(disk_full_message(words)) from error
        raise


def disk_full_message(reason: str) -> str:
    """The sentence for a disk of this worker that does not take an artifact."""
    return f"this worker's disk has no room for it (DIOPTRA_WORKER_WORK_DIR): {reason}"


def refuse_twins(files: Mapping[str, Path]) -> None:
    """See that files which have come are as many as there should be.

    Where a disk takes two names for one, as macOS does for ``a`` and ``A``, the last
    one that was written is in the place of both.

    Args:
        files: Where they are, by their names in the store.

    Raises:
        ArtifactError: Two are one.
    """
    seen: dict[int, str] = {}
    for name, file in files.items():
        other = seen.setdefault(file.stat().st_ino, name)
        if other != name:
            raise ArtifactError(
                f"{other!r} and {name!r} are one file on this disk: have the artifact"
                " written with names that differ in more than case or accents"
            )
