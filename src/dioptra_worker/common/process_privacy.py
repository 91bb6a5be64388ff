"""Keep what a process holds from others of the same user."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide_memory() -> bool:
    """Close this process's environment, memory and maps to others of its user.

    On Linux ``/proc/PID/environ``, ``mem`` and ``maps`` then belong to root, and no
    debugger of the same user may attach (`prctl(2)`, PR_SET_DUMPABLE). It holds until
    the process executes another program; there is no core dump.

    Returns:
        Whether the system can do that.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
