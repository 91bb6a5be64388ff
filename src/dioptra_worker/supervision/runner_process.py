"""A process that the fork server has made, as the daemon sees it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Exit:
    """How a process ended.

    Attributes:
        code: The exit code, or minus the signal's number, or None when nobody saw.
        peak: Its peak resident memory in bytes, None when nobody saw.
    """

    code: int | None
    peak: int | None


@dataclass(eq=False)
class Process:
    """A process that the fork server has made.

    Attributes:
        pid: Its process id, also its group's.
        ended: Set when it has ended.
        exit: How, once it has.
    """

    pid: int
    ended: threading.Event = field(default_factory=threading.Event)
    exit: Exit | None = None
    _listeners: list[Callable[[], None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_end(self, listener: Callable[[], None]) -> None:
        """Call *listener* when the process ends, at once if it has already."""
        with self._lock:
            if not self.ended.is_set():
                self._listeners.append(listener)
                return
        listener()

    def end(self, how: Exit) -> None:
        """Note how it ended and tell who wants to know."""
        with self._lock:
            self.exit = how
            self.ended.set()
        for listener in self._listeners:
            listener()


@dataclass(frozen=True)
class Pipes:
    """The daemon's ends of what connects it to a runner.

    Attributes:
        control: The socket for messages.
        out: The descriptor of the runner's standard output.
        err: The descriptor of the runner's standard error.
    """

    control: socket.socket
    out: int
    err: int

    def close(self) -> None:
        """Close all three; whoever still sends is woken."""
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)
        self.control.close()
        for descriptor in (self.out, self.err):
            with contextlib.suppress(OSError):
                os.close(descriptor)
