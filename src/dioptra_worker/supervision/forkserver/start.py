"""Starts a daemon's fork server: a program of its own, or a fork of a shared one."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Literal, Protocol

from dioptra_worker.common.processes.interpreter import python, user_base
from dioptra_worker.common.processes.job_user import homeless, receive_user
from dioptra_worker.common.processes.process_identity import send
from dioptra_worker.common.text.printable import spelt_out
from dioptra_worker.homes import with_downloads_in
from dioptra_worker.supervision.channel.line_splitter import LineSplitter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.common.processes.job_user import JobUser
    from dioptra_worker.common.processes.process_identity import ProcessId
    from dioptra_worker.supervision.job_users.assignment import JobUsers

log = logging.getLogger("dioptra_worker.forkserver")

Mode = Literal["fork", "spawn", "cold"]
EXIT_TIMEOUT = 5.0
"""Seconds for a fork server that was hung up on, or killed, to be gone."""


class ForkserverHandle(Protocol):
    """A fork server that was started.

    Attributes:
        sock: The socket to it.
        pid: Its process, where it is a child of ours.
        user: Who it and its runners are; None is our own user.
    """

    sock: socket.socket
    pid: int | None
    user: JobUser | None

    def recognise(self, process: ProcessId) -> None:
        """Learn which process it is; it has said so itself."""
        ...

    def kill(self) -> None:
        """End it at once, whatever becomes of its runners."""
        ...

    def wait(self) -> None:
        """Wait for its end once it was hung up on."""
        ...


class ForkserverStarter(Protocol):
    """Starts fork servers."""

    def start(self) -> ForkserverHandle:
        """Start one; it gets ready by itself.

        Raises:
            OSError: If that cannot be.
        """
        ...


class ForkserverProgram:
    """Starts the fork server's program."""

    def __init__(
        self,
        *,
        mode: Mode | Literal["shared"],
        preload: tuple[str, ...],
        grace: float,
        environment: Mapping[str, str],
        users: JobUsers | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            mode: How runners are made; ``shared`` makes fork servers instead.
            preload: Modules that the fork server imports beside our own.
            grace: Seconds that runners have to end when the daemon is gone.
            environment: What runners see; without the daemon's secrets.
            users: Who fork servers and runners are; None is our own user.
        """
        self._options = ["--mode", mode, "--preload", ",".join(preload)]
        self._options += ["--grace", str(grace)]
        self._environment = {**environment, **user_base()}
        self._users = users
        self._user: JobUser | None = None
        if users is not None:
            if users.downloads is not None:
                self._environment = with_downloads_in(
                    users.downloads, self._environment
                )
            self._environment |= homeless(environment)

    def start(self) -> ChildForkserver:
        """Start one; it is the only one that still works."""
        if self._users is not None:
            if self._user is not None:
                self._users.give_back(self._user)
            self._user = self._users.take()
        return self._start(self._user)

    def _start(self, user: JobUser | None) -> ChildForkserver:
        who = [] if user is None else ["--user", str(user)]
        ours, theirs = socket.socketpair()
        said, there = os.pipe()
        try:
            with theirs:
                child = subprocess.Popen(
                    [
                        *(*python(), "-m", "dioptra_worker.runner.forkserver.main"),
                        *("--fd", str(theirs.fileno()), *self._options, *who),
                    ],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=there,
                    stderr=there,
                    env=self._environment,
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            os.close(said)
            raise
        finally:
            os.close(there)
        threading.Thread(
            target=_log_output,
            args=[said],
            name="dioptra-forkserver-output",
            daemon=True,
        ).start()
        return ChildForkserver(ours, child, user)


def _log_output(descriptor: int) -> None:
    """Log what a fork server and its helpers print, line by line, until they end.

    They have no descriptor of the daemon's own log: what they, and the libraries that
    they import, print is masked as all is, and cannot be taken for a line of ours.
    """
    lines = LineSplitter()
    with open(descriptor, "rb", buffering=0) as output:
        while data := output.read(1 << 16):
            for line in lines.feed(data):
                _log_line(line)
    _log_line(lines.pop_rest())


def _log_line(line: bytes) -> None:
    if text := spelt_out(line.decode("utf-8", "backslashreplace")).rstrip():
        log.warning("%s", text)


class ChildForkserver:
    """A fork server that is our child."""

    def __init__(
        self,
        sock: socket.socket,
        child: subprocess.Popen[bytes],
        user: JobUser | None = None,
    ) -> None:
        self.sock = sock
        self.user = user
        self.pid: int | None = child.pid
        self._child = child

    def recognise(self, process: ProcessId) -> None:
        """Nothing is to be learnt: it is our child."""

    def kill(self) -> None:
        """Kill it."""
        self._child.kill()

    def wait(self) -> None:
        """Reap it."""
        try:
            self._child.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class PoolForkservers:
    """Asks the pool that this daemon belongs to for forks of its fork server."""

    def __init__(self, pool: socket.socket) -> None:
        """Prepare.

        Args:
            pool: The socket to `daemon.pool`.
        """
        self._pool = pool

    def start(self) -> PoolForkserver:
        """Ask for one."""
        self._pool.sendall(b"t")
        user, descriptors = receive_user(self._pool)
        if not descriptors:
            raise OSError("no fork server can be had: see the log of the pool")
        return PoolForkserver(socket.socket(fileno=descriptors[0]), user)


class PoolForkserver:
    """A fork server that is somebody else's child."""

    def __init__(self, sock: socket.socket, user: JobUser | None = None) -> None:
        self.sock = sock
        self.pid: int | None = None
        self.user = user
        self._process: ProcessId | None = None

    def recognise(self, process: ProcessId) -> None:
        """Learn which process it is."""
        self._process = process

    def kill(self) -> None:
        """Kill it, and hang up for good: one that still imports ends by that."""
        if self._process is not None:
            send(self._process, signal.SIGKILL, group=False)
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def wait(self) -> None:
        """Nothing is left to do: it is not ours to reap."""
