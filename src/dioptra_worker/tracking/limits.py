"""What downloads have in common: limits, who is told, and a disk that is full."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
