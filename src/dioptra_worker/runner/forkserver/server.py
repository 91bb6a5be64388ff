"""The fork server: a small process that hands out runners and outlives none of them.

It has imported what a runner needs and does nothing else: no threads, no sockets but
the one to the daemon. On Linux it forks itself for each job; elsewhere, where a
process that has imported much must not be forked, it keeps a spawned standby ready.

It is the parent of every runner, so that it knows exactly how each one ended and how
much memory it took, can end all that a job has left behind (on Linux it adopts a
job's orphans), and can end the runners when the daemon is gone. That is why it is a
process of our own and not `multiprocessing`'s forkserver, which can do none of these.

Requests and reports are those of `protocol.forkserver`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.ipc_objects import ipc_objects, remove_ipc_objects
from dioptra_worker.common.processes.job_objects import JobObjects
from dioptra_worker.common.processes.orphans import (
    REAP_TIMEOUT,
    adopt_orphans,
    kill_orphans,
)
from dioptra_worker.protocol import codec
from dioptra_worker.protocol.forkserver import (
    ForkserverReady,
    ProcessEnded,
    ProcessRefused,
    ProcessStarted,
    SignalProcess,
    StartCloseRun,
    StartDownload,
    StartLearned,
    StartRecord,
    StartRunner,
)
from dioptra_worker.runner.forkserver.own_state import OwnState
from dioptra_worker.runner.forkserver.reaper import (
    child_signals,
    maxrss_bytes,
    reap,
    signal_group,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.protocol.forkserver import (
        ForkserverReport,
        ForkserverRequest,
        PreloadedModule,
        ProcessRequest,
    )
    from dioptra_worker.runner.forkserver.children.process_makers import ProcessMaker

MAX_REMOVED_TOLD = 100
"""Names of what a job left in shared memory that the daemon is told."""


class Forkserver:
    """Serves requests for runners, watches them, and reports how each one ended."""

    def __init__(
        self,
        sock: socket.socket,
        maker: ProcessMaker,
        *,
        grace: float,
        why: str | None = None,
        preloaded: tuple[PreloadedModule, ...] = (),
        has_own_user: bool = False,
        top_levels: tuple[str, ...] = (),
        spoilt_by: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            sock: The socket to the daemon.
            maker: Makes runners.
            grace: Seconds that they have to end when the daemon is gone.
            why: Why they are not forked although they should be.
            preloaded: What was imported for them beside our own.
            has_own_user: Whether all that our user has is ours and our runners'.
            top_levels: The first parts of the names of modules that are kept for jobs.
            spoilt_by: What has changed of what was imported; None if nothing has.
        """
        self._top_levels = top_levels
        self._spoilt_by = spoilt_by
        self._learned: set[int] = set()
        self._cleaning: set[int] = set()
        self._has_own_user = has_own_user
        self._own_objects: set[str] = set()
        self._sock = sock
        self._maker = maker
        self._grace = grace
        self._why = why
        self._preloaded = preloaded
        self._children: set[int] = set()
        self._runners: dict[int, JobObjects] = {}
        self._stuck: set[int] = set()
        self._descriptors: deque[int] = deque()
        self._buffer = b""
        self._own_state = OwnState()

    def serve(self) -> None:
        """Work until the daemon hangs up, then see that no runner outlives it."""
        adopt_orphans()
        if self._has_own_user:
            self._own_objects = ipc_objects()
        with child_signals() as children, selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            selector.register(children, selectors.EVENT_READ)
            self._report(
                ForkserverReady(
                    pid=os.getpid(),
                    mode=self._maker.mode,
                    why=self._why,
                    preloaded=self._preloaded,
                    top_levels=self._top_levels,
                )
            )
            while self._handle_events(selector, children, timeout=None):
                pass
            self._signal_all(signal.SIGTERM)
            deadline = time.monotonic() + self._grace
            selector.unregister(self._sock)
            while self._children and (left := deadline - time.monotonic()) > 0:
                self._handle_events(selector, children, timeout=left)
            self._signal_all(signal.SIGKILL)
            deadline = time.monotonic() + REAP_TIMEOUT
            while self._children and (left := deadline - time.monotonic()) > 0:
                self._handle_events(selector, children, timeout=left)
        self._maker.close()

    def _handle_events(
        self,
        selector: selectors.BaseSelector,
        children: socket.socket,
        *,
        timeout: float | None,
    ) -> bool:
        """Handle what comes next; False when the daemon hung up."""
        alive = True
        for key, _ in selector.select(timeout):
            if key.fileobj is children:
                with contextlib.suppress(BlockingIOError):
                    children.recv(4096)
                self._reap_children()
            else:
                alive = self._receive()
        return alive

    def _receive(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._sock, 1 << 16, 8 * StartRunner.descriptors
            )
        except ConnectionError:
            return False
        self._descriptors.extend(descriptors)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            request = codec.decode_request(line)
            if isinstance(request, StartRunner) and self._is_spoilt():
                return False  # as if the daemon had hung up: it starts another
            self._handle(request)
        return bool(data)

    def _is_spoilt(self) -> bool:
        """Whether the next job would feel what another one has done to us."""
        if file := self._spoilt_by():
            sys.stderr.write(
                f"what jobs wait for is imported anew: {file} has changed\n"
            )
            return True
        changed = self._own_state.changed()
        if changed:
            sys.stderr.write(
                "the fork server ends, since somebody has changed"
                f" {', '.join(changed)}, as a job can do: the next one would inherit"
                " that\n"
            )
        return bool(changed)

    def _handle(self, request: ForkserverRequest) -> None:
        if isinstance(request, SignalProcess):
            if request.pid in self._children:
                self._signal(request.pid, request.signal)
            return
        count = request.descriptors
        descriptors = [self._descriptors.popleft() for _ in range(count)]
        try:
            pid = self._make(request, descriptors)
        except OSError as error:  # too many processes: those that there are go on
            self._report(ProcessRefused(reason=str(error)))
        else:
            self._children.add(pid)
            self._report(ProcessStarted(pid=pid))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _make(self, request: ProcessRequest, descriptors: list[int]) -> int:
        match request:
            case StartRunner():
                objects = JobObjects()
                pid = self._maker.start_runner(descriptors, request)
                self._runners[pid] = objects
                return pid
            case StartCloseRun():
                return self._maker.start_close_run(request)
            case StartDownload():
                return self._maker.start_download(descriptors[0], request)
            case StartRecord():
                manifest, reports = descriptors
                return self._maker.start_record(manifest, reports, request)
            case StartLearned():
                pid = self._maker.start_learned(descriptors[0], request)
                self._learned.add(pid)
                return pid

    def _reap_children(self) -> None:
        self._cleaning -= {pid for pid in self._cleaning if reap(pid)}
        for pid in list(self._children):
            # What is left of a job's group is killed with its leader: nobody could
            # end it later, when the number may be another process's.
            objects = self._runners.get(pid)
            has_rest = objects is not None or pid in self._learned
            found = reap(pid, end_rest=self._end_rest if has_rest else None)
            if found is None:
                continue
            status, usage = found
            self._children.discard(pid)
            if pid in self._learned:
                self._learned.discard(pid)
                with contextlib.suppress(OSError):  # later, with the next one
                    self._cleaning.add(self._maker.start_cleanup())
            removed = []
            if objects is not None:
                del self._runners[pid]
                removed = self._remove_what_was_left(objects)
            peak = maxrss_bytes(usage.ru_maxrss)
            self._report(
                ProcessEnded(pid=pid, status=status, peak=peak, removed=tuple(removed))
            )

    def _end_rest(self, runner: int) -> None:
        """End what a runner that has ended left behind."""
        # An orphan that has left its runner's session does not say whose it was: while
        # another runner lives, it may be its.
        is_last = self._runners.keys() <= {runner}
        kill_orphans(
            self._children | self._cleaning | self._maker.standby_pids(),
            session=None if is_last else runner,
            stuck=self._stuck,
        )
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(runner, signal.SIGKILL)  # where nobody adopts

    def _remove_what_was_left(self, objects: JobObjects) -> list[str]:
        """Remove what a runner left in shared memory; the names, not too many."""
        removed = objects.remove()
        if self._has_own_user and not self._runners:
            removed += remove_ipc_objects(self._own_objects)
        return removed[:MAX_REMOVED_TOLD]

    def _signal_all(self, signum: int) -> None:
        for pid in self._children:
            self._signal(pid, signum)

    def _signal(self, pid: int, signum: int) -> None:
        if (objects := self._runners.get(pid)) is not None:
            objects.look(pid)  # what it has is seen as long as it lives
        signal_group(pid, signum)

    def _report(self, report: ForkserverReport) -> None:
        with contextlib.suppress(OSError):  # the daemon is gone: the next read says so
            self._sock.sendall(codec.encode(report))
