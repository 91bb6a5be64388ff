"""Several daemons in one container: starts them, watches them, ends with them.

It is fit to be process 1: it passes signals on and reaps whoever is left to it. It
has no part in any job: each slot is a daemon with a name, a heartbeat and a session of
its own, and loses nothing when another slot is lost. All share one fork server.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import time
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.job_user import send_user
from dioptra_worker.daemon.pool.slot import Slot
from dioptra_worker.daemon.shutdown import STOP_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dioptra_worker.common.processes.job_user import JobUser
    from dioptra_worker.daemon.pool.slot import SlotSpec
    from dioptra_worker.supervision.forkserver.start import (
        ChildForkserver,
        ForkserverProgram,
    )
    from dioptra_worker.supervision.job_users.assignment import JobUsers

log = logging.getLogger("dioptra_worker.crew")


class WorkerPool:
    """The slots of one worker; `run` belongs to the main thread."""

    def __init__(
        self,
        specs: Sequence[SlotSpec],
        forkservers: ForkserverProgram,
        *,
        users: JobUsers | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            specs: How each slot is started.
            forkservers: Starts the fork server that all share.
            users: Who the slots' runners are; None is our own user.
        """
        self._users = users
        self._slots = [Slot(spec) for spec in specs]
        self._forkservers = forkservers
        self._forkserver: ChildForkserver | None = None
        self._stopping = False
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Mind the slots until all have ended.

        Returns:
            The worst of their exit codes.
        """
        with self._selector, self._signals_as_events():
            for slot in self._slots:
                self._start(slot)
            while any(slot.pid or slot.restart_at for slot in self._slots):
                for key, _ in self._selector.select(self._until_next_restart()):
                    key.data()
                for slot in self._slots:
                    if slot.restart_at and slot.restart_at <= time.monotonic():
                        self._start(slot)
            self._end_forkserver()
        return max(slot.code for slot in self._slots)

    def _until_next_restart(self) -> float | None:
        times = [slot.restart_at for slot in self._slots if slot.restart_at]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _start(self, slot: Slot) -> None:
        try:
            slot.start()
        except OSError as error:  # too many processes: the other slots go on
            log.error(
                "slot %s cannot be started now (%s) and is tried again in %.0f s",
                slot.spec.name,
                error,
                slot.schedule_restart(),
            )
            return
        log.info("slot %s is process %s", slot.spec.name, slot.pid)
        sock = slot.sock
        assert sock is not None
        self._selector.register(
            sock, selectors.EVENT_READ, lambda: self._on_request(slot, sock)
        )

    def _on_request(self, slot: Slot, sock: socket.socket) -> None:
        """Give a slot a fork server of its own for each byte that it sends."""
        if sock.fileno() < 0:  # that its slot has ended was heard just before this
            return
        try:
            requests = sock.recv(16)
        except OSError:
            requests = b""
        if not requests:
            self._selector.unregister(sock)
        for _ in requests:
            try:
                self._send_forkserver(slot, sock)
            except OSError as error:
                log.error("no fork server for a slot: %s", error)
                with contextlib.suppress(OSError):
                    sock.sendall(b"n")  # which it waits for

    def _send_forkserver(self, slot: Slot, sock: socket.socket) -> None:
        if self._users is not None:
            if slot.user is not None:  # taken again only when no process has it
                self._users.give_back(slot.user)
            slot.user = self._users.take()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._fork_for(theirs, slot.user)
            send_user(sock, slot.user, ours.fileno())

    def _on_exit(self, slot: Slot, code: int) -> None:
        if slot.sock is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(slot.sock)
        slot.record_exit(code)
        name = slot.spec.name
        if slot.is_lost and not self._stopping:
            pause = slot.schedule_restart()
            log.error(
                "slot %s was lost (exit code %d) and begins again in %.0f s",
                name,
                slot.code,
                pause,
            )
            return
        log.info("slot %s has ended with exit code %d", name, slot.code)
        if slot.code and not self._stopping:  # what it refused, all will
            self._stop(signal.SIGTERM)

    def _stop(self, signum: int) -> None:
        """Pass a signal on; slots that are about to be started again are not."""
        self._stopping = True
        for slot in self._slots:
            slot.restart_at = None
            slot.signal(signum)

    def _fork_for(self, daemon: socket.socket, user: JobUser | None) -> None:
        """Have the fork server fork one that serves a daemon."""
        if self._forkserver is None:
            self._forkserver = self._forkservers.start()
        try:
            send_user(self._forkserver.sock, user, daemon.fileno())
        except OSError:  # it has just ended
            self._forkserver.sock.close()
            self._forkserver = self._forkservers.start()
            send_user(self._forkserver.sock, user, daemon.fileno())

    def _end_forkserver(self) -> None:
        if self._forkserver is not None:
            self._forkserver.sock.close()
            self._forkserver.wait()

    @contextlib.contextmanager
    def _signals_as_events(self) -> Iterator[None]:
        """Have signals come as bytes through a socket, one after the other.

        They are then events for the selector, as requests of slots are, and nothing
        runs between any two steps of ours. The handlers do nothing, and must be there:
        without one Python writes no byte, and the kernel keeps SIGTERM from process 1.
        """
        reader, writer = socket.socketpair()
        before = {
            number: signal.signal(number, lambda *_: None)
            for number in (*STOP_SIGNALS, signal.SIGCHLD)
            if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
        }
        with reader, writer:
            writer.setblocking(False)
            signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            self._selector.register(
                reader, selectors.EVENT_READ, lambda: self._on_signals(reader.recv)
            )
            try:
                yield
            finally:
                signal.set_wakeup_fd(-1)
                for number, old in before.items():
                    signal.signal(number, old)

    def _on_signals(self, read: Callable[[int], bytes]) -> None:
        for signum in read(4096):
            if signum == signal.SIGCHLD:
                self._reap()
            else:
                log.info("signal %d goes to all slots", signum)
                self._stop(signum)

    def _reap(self) -> None:
        """See to all children that have ended, also those that were left to us.

        One SIGCHLD may stand for several of them.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            if self._forkserver is not None and pid == self._forkserver.pid:
                log.error("the fork server has ended with exit code %d", code)
                self._forkserver.sock.close()
                self._forkserver = None
            for slot in self._slots:
                if slot.pid == pid:
                    self._on_exit(slot, code)
            # Any other was left to us by its parent, since we are process 1.
