"""Reaps children, and kills what is left of their groups."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.resource_trackers import kill_group

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable, Iterator


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


def reap(
    pid: int, *, end_rest: Callable[[int], object] | None = None
) -> tuple[int, resource.struct_rusage] | None:
    """Reap a child that has ended, and see to the end of what it has left.

    Where the system allows, the rest is ended before its leader is reaped, since an
    unreaped leader keeps the group's number from being given to anybody else.

    Args:
        pid: The child.
        end_rest: Ends what is left of its group and session.

    Returns:
        Its wait status and what it used; None while it runs.
    """
    peeks = hasattr(os, "waitid")  # not on macOS
    if peeks:
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        if os.waitid(os.P_PID, pid, options) is None:
            return None
        if end_rest is not None:
            end_rest(pid)
    found, status, usage = os.wait4(pid, os.WNOHANG)
    if not found:
        return None
    if end_rest is not None and not peeks:
        end_rest(pid)
    return status, usage


def signal_group(pid: int, signum: int) -> None:
    """Signal a runner, which is not reaped yet, and all in its process group.

    SIGKILL leaves out the trackers of what it has in shared memory.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        try:
            if signum == signal.SIGKILL:
                kill_group(pid)
            else:
                os.killpg(pid, signum)
        except ProcessLookupError:  # it was forked just now and leads no group yet
            os.kill(pid, signum)


def maxrss_bytes(ru_maxrss: int) -> int:
    """`ru_maxrss` in bytes: Linux counts in KiB, macOS in bytes."""
    return ru_maxrss * (1 if sys.platform == "darwin" else 1024)
