"""Processes whose parent has ended: adopt them, and end them.

A process that leaves its session and outlives its parent is nobody's, or else its
nearest living ancestor's that adopts orphans (Linux). Whoever starts what a job may
start further processes from adopts them, so that none outlives the job unseen.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.prctl import PR_SET_CHILD_SUBREAPER, prctl

if TYPE_CHECKING:
    from collections.abc import Collection

REAP_TIMEOUT = 1.0
"""Seconds to wait for the end of a process that was killed."""
_MAX_ROUNDS = 100


def adopt_orphans() -> bool:
    """Become the parent of descendants that lose theirs; whether the system can.

    No fork inherits that.
    """
    return prctl(PR_SET_CHILD_SUBREAPER, 1)


def kill_orphans(known: Collection[int]) -> int:
    """Kill and reap the children that this process has not started (Linux).

    Those are not *known*, and in a session of their own: what this process starts
    belongs to its session, which no process can enter from outside, or is known.

    Args:
        known: Children in sessions of their own that this process has started.

    Returns:
        How many there were.
    """
    killed: set[int] = set()
    for _ in range(_MAX_ROUNDS):  # killing one can orphan its children, which come next
        orphans = _foreign_children() - set(known)
        if not orphans:
            break
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= orphans
        stuck = [pid for pid in orphans if not _reap_killed(pid)]
        if stuck:
            break
    return len(killed)


def _reap_killed(pid: int) -> bool:
    """Reap a child that was killed; False when it sits in the kernel and cannot die."""
    deadline = time.monotonic() + REAP_TIMEOUT
    with contextlib.suppress(ChildProcessError):
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
    return True


def _foreign_children() -> set[int]:
    """The children of all of this process's threads that are in other sessions."""
    found = set()
    session = os.getsid(0)
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found |= {int(pid) for pid in task.read_text().split()}
    return {pid for pid in found if _is_outside(session, pid)}


def _is_outside(session: int, pid: int) -> bool:
    try:
        return os.getsid(pid) != session
    except OSError:  # another thread has reaped it
        return False
