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
from dioptra_worker.common.processes.process_identity import session_of
from dioptra_worker.common.processes.resource_trackers import (
    TRACKER_TIMEOUT,
    is_tracker,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

REAP_TIMEOUT = 1.0
"""Seconds to wait for the end of a process that was killed."""
_MAX_ROUNDS = 100
_PAUSE = 0.001


def adopt_orphans() -> bool:
    """Become the parent of descendants that lose theirs; whether the system can.

    No fork inherits that.
    """
    return prctl(PR_SET_CHILD_SUBREAPER, 1)


def has_children() -> bool:
    """Whether this process has a child, alive or not; none is reaped."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def kill_orphans(
    known: Collection[int],
    *,
    session: int | None = None,
    stuck: set[int] | None = None,
) -> int:
    """Kill and reap the children that this process has not started (Linux).

    Those are not *known*, and in a session of their own: what this process starts
    belongs to its session, which no process can enter from outside, or is known.
    Resource trackers are killed last, and only if they do not end by themselves.

    Args:
        known: Children in sessions of their own that this process has started.
        session: End those of this session only; None is of all but our own.
        stuck: Those that sat in the kernel before and could not die, for whom nobody
            waits again. It is changed to those that do now.

    Returns:
        How many were killed.
    """
    stuck = set() if stuck is None else stuck
    stuck -= {pid for pid in stuck if _reap_ended(pid)}

    def orphans() -> set[int]:
        return _orphans(session) - set(known) - stuck

    def others() -> set[int]:
        return {pid for pid in orphans() if not is_tracker(pid)}

    killed = _kill_while_there(others, stuck)
    deadline = time.monotonic() + TRACKER_TIMEOUT
    while (left := orphans()) and time.monotonic() < deadline:
        for pid in left:
            _reap_ended(pid)
        time.sleep(_PAUSE)
    return len(killed | _kill_while_there(orphans, stuck))


def _kill_while_there(find: Callable[[], set[int]], stuck: set[int]) -> set[int]:
    """Kill and reap processes as long as there are more of them.

    Args:
        find: Finds them.
        stuck: Takes those that sit in the kernel and do not die in time.

    Returns:
        All that there were.
    """
    deadline = time.monotonic() + REAP_TIMEOUT  # for all of them
    killed: set[int] = set()
    for _ in range(_MAX_ROUNDS):  # killing one can orphan its children, which come next
        found = find()
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= found
        left = found
        while left := {pid for pid in left if not _reap_ended(pid)}:
            if time.monotonic() > deadline:
                stuck |= left
                break
            time.sleep(_PAUSE)
    return killed


def _reap_ended(pid: int) -> bool:
    """Reap a child if it has ended; whether it has."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:  # another thread has reaped it
        return True


def _orphans(session: int | None) -> set[int]:
    """The children of all of our threads that are in a session, or in any but ours."""
    found = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found |= {int(pid) for pid in task.read_text().split()}
    own = os.getsid(0)
    sessions = {pid: session_of(pid) or own for pid in found}
    return {
        pid for pid, its in sessions.items() if its != own and session in {None, its}
    }
