"""Whether what went wrong is this worker's trouble, and none of the job that it has.

A machine that has no descriptor, memory, thread or space left fails at whatever comes
next. Another worker may do better, and this one after a while.
"""

from __future__ import annotations

import errno

from dioptra_worker.errors import RunnerError, WorkerTrouble

_SIGNS = {
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS),
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE),
    # A folder of the worker's that is gone, or that it may not use any more.
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENODEV, errno.ENXIO),
}
_TROUBLES = (WorkerTrouble, RunnerError, MemoryError, PermissionError)


def is_worker_trouble(error: BaseException) -> bool:
    """Tell whether it is the machine, or a folder of the worker's, that is to blame.

    Args:
        error: What the worker's own code has raised, or what that was made of.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _TROUBLES):
            return True
        if isinstance(cause, OSError) and cause.errno in _SIGNS:
            return True
        cause = cause.__cause__
    return False
