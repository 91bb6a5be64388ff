"""Reaps children, and kills what is left of their groups."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import resource
    from collections.abc import Iterator


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


def maxrss_bytes(ru_maxrss: int) -> int:
    """`ru_maxrss` in bytes: Linux counts in KiB, macOS in bytes."""
    return ru_maxrss * (1 if sys.platform == "darwin" else 1024)
