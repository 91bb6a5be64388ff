"""Reaps children, and kills what they leave behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import resource
    from collections.abc import Iterator

REAP_TIMEOUT = 1.0
"""Seconds to wait for the end of a process that was killed."""
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


@contextlib.contextmanager
def child_signals() -> Iterator[socket.socket]:
    """A socket that becomes readable when a child has ended."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(-1)


def reap(pid: int, *, group: bool) -> tuple[int, resource.struct_rusage] | None:
    """Reap a child that has ended, and kill what is left of its group.

    Where the system allows, the group is killed before its leader is reaped, since an
    unreaped leader keeps the group's number from being given to anybody else.

    Args:
        pid: The child.
        group: Whether it leads a group of its own to be killed.

    Returns:
        Its wait status and what it used; None while it runs.
    """
    peeks = hasattr(os, "waitid")  # not on macOS
    if peeks:
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        if os.waitid(os.P_PID, pid, options) is None:
            return None
        if group:
            signal_group(pid, signal.SIGKILL)
    found, status, usage = os.wait4(pid, os.WNOHANG)
    if not found:
        return None
    if group and not peeks:
        signal_group(pid, signal.SIGKILL)
    return status, usage


def signal_group(pid: int, signum: int) -> None:
    """Signal a runner, which is not reaped yet, and all in its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(pid, signum)
        except ProcessLookupError:  # it was forked just now and leads no group yet
            os.kill(pid, signum)


def kill_orphans(known: set[int]) -> None:
    """Kill and reap what a job has left behind outside its group (Linux)."""
    for _ in range(100):  # killing one can orphan its children, which come next
        orphans = _children() - known
        if not orphans:
            return
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
        stuck = [pid for pid in orphans if not _reap_killed(pid)]
        if stuck:
            return


def _reap_killed(pid: int) -> bool:
    """Reap a child that was killed; False when it sits in the kernel and cannot die."""
    deadline = time.monotonic() + REAP_TIMEOUT
    with contextlib.suppress(ChildProcessError):
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
    return True


def _children() -> set[int]:
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return set()
    return {int(pid) for pid in text.split()}


def maxrss_bytes(ru_maxrss: int) -> int:
    """`ru_maxrss` in bytes: Linux counts in KiB, macOS in bytes."""
    return ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def prctl(option: int, value: int) -> None:
    """Set a property of this process on Linux; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
