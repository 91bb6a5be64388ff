"""One process at a time: a lock on a file that ends with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dioptra_worker.common.files.trusted_folder import make_private
from dioptra_worker.tools.local.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_POLL_INTERVAL = 0.05


@contextmanager
def locked(
    path: Path,
    *,
    timeout: float,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold the lock of `path` while the body runs.

    The kernel drops the lock when its holder dies, so nothing has to be mended after
    a kill. The file stays: to remove it would let two processes in.

    Args:
        path: The lock file; made, with its folder, if it is not there.
        timeout: Seconds to wait for another holder.
        waiting: Called once if somebody else holds it.

    Raises:
        StackError: The other holder took longer than `timeout`.
        UntrustedFolder: Somebody else could change what is in its folder.
    """
    make_private(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, timeout, waiting)
        yield
    finally:
        os.close(descriptor)


def _acquire(
    descriptor: int, path: Path, timeout: float, waiting: Callable[[], None]
) -> None:
    deadline = time.monotonic() + timeout
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                waiting()
                told = True
            if time.monotonic() >= deadline:
                raise StackError(
                    f"Another process has held {str(path)!r} for {timeout:.0f} s: "
                    "wait for it to end, or end it, and try again."
                ) from None
            time.sleep(_POLL_INTERVAL)
        else:
            return
