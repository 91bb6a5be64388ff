"""A process that the fork server has made, as the daemon sees it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dioptra_worker.protocol import codec
from dioptra_worker.protocol.messages import BatchClaimReply, SessionReply
from dioptra_worker.supervision.channel.job_processes import JobProcesses
from dioptra_worker.supervision.channel.unread_messages import UnreadMessages

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.protocol.messages import Message


@dataclass(frozen=True)
class ProcessExit:
    """How a process ended.

    Attributes:
        code: The exit code, or minus the signal's number, or None when nobody saw.
        peak: Its peak resident memory in bytes, None when nobody saw.
        removed: What it left in the system's shared memory, by name.
    """

    code: int | None
    peak: int | None
    removed: tuple[str, ...] = ()


@dataclass(eq=False)
class ProcessHandle:
    """A process that the fork server has made.

    Attributes:
        pid: Its process id, also its group's.
        user: The number of the user that it is; None for our own.
        ended: Set when it has ended.
        exit: How, once it has.
    """

    pid: int
    user: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    exit: ProcessExit | None = None
    _callbacks: list[Callable[[], None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_exit(self, callback: Callable[[], None]) -> None:
        """Call *callback* when the process ends, at once if it has already."""
        with self._lock:
            if not self.ended.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def set_exit(self, exit_: ProcessExit) -> None:
        """Record how it ended and call who waits for that."""
        with self._lock:
            self.exit = exit_
            self.ended.set()
        for callback in self._callbacks:  # without the lock: one may register another
            callback()


class RunnerPipes:
    """The daemon's ends of what connects it to a runner.

    Attributes:
        control: The socket for messages, which never blocks.
        out: The descriptor of the runner's standard output.
        err: The descriptor of the runner's standard error.
        unread: What it was told and has not read.
        processes: Connections of what its task has started.
    """

    def __init__(self, control: socket.socket, out: int, err: int) -> None:
        control.setblocking(False)
        self.control = control
        self.out = out
        self.err = err
        self.unread = UnreadMessages(control)
        self.processes = JobProcesses()
        self._closed = False

    def send(self, message: Message) -> None:
        """Tell the runner something, from any thread, without waiting for it.

        What it does not read at once is sent by its supervisor. One that is gone is no
        error. An answer goes to the process that has asked.
        """
        match message:
            case SessionReply() | BatchClaimReply() if self.processes.answer(message):
                return
        self.unread.put(codec.encode(message))

    def close(self) -> None:
        """Close all three, once: their numbers may be another job's by now."""
        if self._closed:
            return
        self._closed = True
        self.unread.close()
        self.processes.close()
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)
        self.control.close()
        for descriptor in (self.out, self.err):
            with contextlib.suppress(OSError):
                os.close(descriptor)
