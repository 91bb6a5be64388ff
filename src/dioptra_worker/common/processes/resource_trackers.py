"""Processes that remove what a job leaves in shared memory, once the job has ended.

Python's multiprocessing, joblib and PyTorch start one each: it knows exactly which
blocks and semaphores are the job's, and removes them when the last process of the job
has hung up on it. So it is not killed with the others, but awaited (Linux).
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from dioptra_worker.common.processes.process_identity import pids

TRACKER_TIMEOUT = 1.0
"""Seconds for trackers to do their work, once nobody is left who could need them."""
_PROC = Path("/proc")
_PYTHONS = b"resource_tracker import main"
"""In the command line of multiprocessing's and of joblib's."""
_PYTORCHS = b"torch_shm_manager"


def is_tracker(pid: int) -> bool:
    """Whether a process is such a one; a job's may pretend to be."""
    try:
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return False
    return _PYTHONS in command or command.split(b"\0")[0].endswith(_PYTORCHS)


def kill_group(group: int) -> None:
    """Kill a process group, all but its trackers; this process last, if it is in it.

    What joins the group meanwhile is left: whoever reaps its leader ends the rest.

    Raises:
        ProcessLookupError: There is no such group.
        PermissionError: None of it may be killed.
    """
    members = _members(group)
    trackers = {pid for pid in members if is_tracker(pid)}
    if not trackers:
        os.killpg(group, signal.SIGKILL)
        return
    for pid in sorted(members - trackers, key=os.getpid().__eq__):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _members(group: int) -> set[int]:
    """The processes of a group; none where the system does not show them."""
    found = set()
    for pid in pids():
        with contextlib.suppress(OSError):
            if os.getpgid(pid) == group:
                found.add(pid)
    return found
