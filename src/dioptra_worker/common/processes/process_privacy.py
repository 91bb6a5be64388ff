"""Keep what a process holds from others of the same user."""

from __future__ import annotations

from dioptra_worker.common.processes.prctl import PR_SET_DUMPABLE, prctl


def hide_memory() -> bool:
    """Close this process's environment, memory and maps to others of its user.

    On Linux ``/proc/PID/environ``, ``mem`` and ``maps`` then belong to root, and no
    debugger of the same user may attach (`prctl(2)`, PR_SET_DUMPABLE). It holds for
    forks, too, and until the process executes another program; there is no core dump.

    Returns:
        Whether the system can do that.
    """
    return prctl(PR_SET_DUMPABLE, 0)


def show_memory() -> None:
    """Be as any process again: what a fork of one that hides had to inherit."""
    prctl(PR_SET_DUMPABLE, 1)
