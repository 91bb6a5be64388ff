"""Supervises one runner: reads from it, keeps its deadlines, stops it, reports its end.

The loop never calls a service: it passes what the runner says to a `RunnerListener`,
which puts it into the outbox, so that nothing delays a signal or a deadline.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.common.stop import StopRequest
from dioptra_worker.common.text.humanize import size
from dioptra_worker.supervision.channel.runner_output import RunnerOutput
from dioptra_worker.supervision.channel.unread_messages import MAX_UNREAD_BYTES
from dioptra_worker.supervision.forkserver.runner_process import ProcessExit
from dioptra_worker.supervision.oom import OomDetector
from dioptra_worker.supervision.termination import RunnerReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.supervision.channel.runner_output import RunnerListener
    from dioptra_worker.supervision.forkserver.runner_process import (
        ProcessHandle,
        RunnerPipes,
    )
    from dioptra_worker.supervision.launcher import Launcher
    from dioptra_worker.supervision.termination import GracePeriods

log = logging.getLogger("dioptra_worker.supervisor")

MAX_WAIT = 3600.0
"""Seconds of one wait: epoll does not take any number."""
DRAIN_TIMEOUT = 0.5
"""Seconds to read what a dead runner has left in its pipes."""

UNREAD_ANSWERS = StopRequest(
    "limit",
    f"it asked the worker and left more than {size(MAX_UNREAD_BYTES)} of answers"
    " unread",
    kill=True,
)


class Deadline(Protocol):
    """Until when a runner may run; `JobClock` is one."""

    @property
    def due_at(self) -> float | None:
        """When the runner is stopped, on the supervisor's clock; None is never."""
        ...

    @property
    def stop_request(self) -> StopRequest:
        """Why it is stopped then."""
        ...


class Supervisor:
    """Supervises one runner, in one thread; `call_soon` from any."""

    def __init__(
        self,
        launcher: Launcher,
        process: ProcessHandle,
        pipes: RunnerPipes,
        *,
        listener: RunnerListener,
        stop: JobStop,
        deadline: Deadline,
        grace_periods: GracePeriods,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to supervise a runner.

        Args:
            launcher: Signals the runner.
            process: The runner.
            pipes: What connects us to it; the supervisor closes them.
            listener: Receives what it says.
            stop: Whether it is to stop; heeded at once.
            deadline: Until when it may run; asked again and again.
            grace_periods: How long to wait for it.
            clock: Says how late it is, in seconds.
        """
        self._launcher = launcher
        self._process = process
        self._pipes = pipes
        self._deadline = deadline
        self._grace_periods = grace_periods
        self._clock = clock
        self._started_at = clock()
        self._oom = OomDetector.start()
        self._lock = threading.Lock()
        self._stop = stop
        self._calls: list[Callable[[], None]] = []
        self._kill_at: float | None = None
        self._abandon_at: float | None = None
        self._sigterm_sent = False
        self._killed = False
        self._is_connected = True
        self._is_over_limit = False
        self._has_ended = False
        self._disconnected = False
        self._abandoned = False
        self._output = RunnerOutput(listener)
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)

    # From any thread.

    def call_soon(self, function: Callable[[], None]) -> None:
        """Run a function soon in the supervisor's thread."""
        with self._lock:
            self._calls.append(function)
        self._wake()

    # In the supervisor's thread.

    def run(self) -> RunnerReport:
        """Watch over the runner until it has ended, or cannot be ended.

        Returns:
            What was seen; every line and message has been passed on.
        """
        with self.watching():
            while not self.is_over:
                self.step()
        return self.report()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Read from the runner; at the end read what it has left, and close."""
        self._process.on_exit(self._wake)
        self._pipes.unread.on_waiting(self._wake)
        pipes, output = self._pipes, self._output
        sources: dict[socket.socket | int, Callable[[], bool]] = {
            self._wake_reader: self._on_wake,
            pipes.control: self._read_control,
            pipes.out: lambda: output.read_pipe(pipes.out, "stdout"),
            pipes.err: lambda: output.read_pipe(pipes.err, "stderr"),
        }
        # After an error the runner is killed before the pipes are closed: it would take
        # their end for the daemon's, and go on for its grace period.
        with (
            self._closing(),
            self._killing_on_error(),
            self._stop.waking(self._wake),
        ):
            for source, read in sources.items():
                self._selector.register(source, selectors.EVENT_READ, read)
            self._listen()
            yield
            self._drain()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self._process.ended.is_set() or self._abandoned

    def step(self, wait: float | None = None) -> None:
        """Wait for what comes next and react to it.

        Args:
            wait: Seconds to wait at most; None is until the next deadline.
        """
        # What the runner has said is read before the clock is looked at: a result that
        # arrived in time counts, however late this thread gets to it.
        self._poll(self.time_left() if wait is None else wait)
        if not self.is_over:
            self._enforce_deadlines()

    def time_left(self) -> float:
        """Seconds to the next deadline, an hour at most."""
        if self._stop.requested is not None and not self._sigterm_sent:
            return 0.0
        times = [self._kill_at, self._abandon_at, self._due_at()]
        first = min((at for at in times if at is not None), default=None)
        left = MAX_WAIT if first is None else first - self._clock()
        return min(max(0.0, left), MAX_WAIT)

    def report(self) -> RunnerReport:
        """What has been seen of the runner, once it is over."""
        how = self._process.exit or ProcessExit(code=None, peak=None)
        return RunnerReport(
            exit=how,
            result=self._output.result,
            stop=self._stop.requested,
            killed=self._killed,
            disconnected=self._disconnected,
            abandoned=self._abandoned,
            took_plan=self._output.took_plan,
            reached_steps=self._output.reached_steps,
            step=self._output.step,
            seconds=self._clock() - self._started_at,
            out_of_memory=self._oom.ran_out(how.peak),
            memory_limit=self._oom.limit,
        )

    def _poll(self, timeout: float) -> bool:
        """Read what is there, or comes in time; whether there was anything."""
        self._await_reading()
        held = self._output.is_holding
        ready = self._selector.select(0.0 if held else timeout)
        self._read(ready)
        # Of several processes, what one has said may lead to what another says. Of all
        # that was said until now, nothing is missing after the next look.
        now = time.monotonic_ns()
        if ready:
            self._read(self._selector.select(0.0))
        self._output.pass_on(now)
        self._heed_messages()
        return bool(ready) or held

    def _read(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        """Read from what is ready, and write to what takes more."""
        for key, events in ready:
            if events & selectors.EVENT_WRITE:
                self._pipes.unread.flush()
            if events & selectors.EVENT_READ and not key.data():
                self._selector.unregister(key.fileobj)

    def _await_reading(self) -> None:
        """Notice when the runner reads on, if it has something to read."""
        key = self._selector.get_map().get(self._pipes.control)
        if key is None:  # it has hung up
            return
        events = selectors.EVENT_READ
        if self._pipes.unread:
            events |= selectors.EVENT_WRITE
        if events != key.events:
            self._selector.modify(key.fileobj, events, key.data)

    def _drain(self) -> None:
        """Read what a dead runner has left; a child of it may keep the pipes open."""
        until = self._clock() + (0.0 if self._abandoned else DRAIN_TIMEOUT)
        listener = self._pipes.processes.listener
        if listener is not None and listener in self._selector.get_map():
            self._accept()  # nobody comes any more
            self._selector.unregister(listener)
        # The socket that wakes us stays registered; all others end with the runner.
        while len(self._selector.get_map()) > 1:
            left = until - self._clock()
            if left <= 0 or not self._poll(left):
                break
        self._output.finish()
        self._heed_messages()

    def _on_wake(self) -> bool:
        self._wake_reader.recv(4096)
        with self._lock:
            calls, self._calls = self._calls, []
        for function in calls:
            function()
        return True

    def _read_control(self) -> bool:
        self._is_connected = self._output.read_messages(self._pipes.control)
        return self._is_connected

    def _listen(self) -> None:
        """Notice when processes that the task has started connect to us."""
        listener = self._pipes.processes.listener
        if listener is not None and listener not in self._selector.get_map():
            self._selector.register(listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> bool:
        processes = self._pipes.processes
        for number, sock in processes.accept():
            read = partial(self._read_process, number, sock)
            self._selector.register(sock, selectors.EVENT_READ, read)
            read()  # at once: it may be the first to have spoken
        return not processes.is_full

    def _read_process(self, number: int, sock: socket.socket) -> bool:
        if not self._output.read_messages(sock, number):
            self._selector.unregister(sock)
            self._pipes.processes.hang_up(number)
            self._listen()
        return True

    def _heed_messages(self) -> None:
        """React to what was passed on."""
        if self._output.over_limit and not self._is_over_limit:
            self._is_over_limit = True
            stop = StopRequest("limit", self._output.over_limit, kill=True)
            self._stop.request(stop)
        has_result = self._output.result is not None
        if self._is_connected and not has_result:
            return
        # After its result, or without its socket, a runner has nothing left to do,
        # however much it still says, or others that have its pipes.
        self._kill_by(self._clock() + self._grace_periods.exit_timeout)
        if not self._has_ended and not self._output.is_holding:
            self._has_ended = True
            self._disconnected = not has_result

    def _due_at(self) -> float | None:
        """When the deadline is, as long as it matters."""
        is_working = self._stop.requested is None and self._output.result is None
        return self._deadline.due_at if is_working else None

    def _enforce_deadlines(self) -> None:
        """Do what is due: stop, then kill, then abandon.

        A runner that does not read its answers is stopped, too. A stop sends SIGTERM
        once and sets the time of the kill. The kill, SIGKILL, is repeated, as a signal
        can be lost with the fork server that passes it on. The first kill sets the time
        after which the runner is abandoned.
        """
        now = self._clock()
        if self._pipes.unread.is_full:
            self._stop.request(UNREAD_ANSWERS)
        due_at = self._due_at()
        if due_at is not None and now >= due_at:
            self._stop.request(self._deadline.stop_request)
        stop = self._stop.requested
        if stop is not None and not self._sigterm_sent:
            self._sigterm_sent = True
            self._launcher.signal(self._process, signal.SIGTERM)
            self._kill_by(now + self._grace_periods.grace)
        if stop is not None and stop.kill:
            self._kill_by(now)
        if self._abandon_at is not None and now >= self._abandon_at:
            self._abandon()
        elif self._kill_at is not None and now >= self._kill_at:
            self._kill(now)

    def _kill_by(self, at: float) -> None:
        """Have the runner killed when it has not ended until then; never postponed."""
        if self._abandon_at is None:  # it is not being killed already
            self._kill_at = at if self._kill_at is None else min(at, self._kill_at)

    def _kill(self, now: float) -> None:
        self._killed = self._killed or self._output.result is None
        self._kill_at = now + self._grace_periods.kill_interval
        if self._abandon_at is None:
            self._abandon_at = now + self._grace_periods.abandon_after
        self._launcher.signal(self._process, signal.SIGKILL)

    def _abandon(self) -> None:
        """Go on without the runner's end, which may never come."""
        self._abandoned = True
        log.error(
            "process %d was killed %g s ago and has not ended: the system holds it, as"
            " when a disk does not answer; it is left behind",
            self._process.pid,
            self._grace_periods.abandon_after,
        )

    def _wake(self) -> None:
        # A full socket wakes as well; a closed one belongs to a runner that is over.
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"w")

    @contextlib.contextmanager
    def _killing_on_error(self) -> Iterator[None]:
        """Leave no runner behind that nobody watches."""
        try:
            yield
        except BaseException:
            self._launcher.signal(self._process, signal.SIGKILL)
            self._process.ended.wait(self._grace_periods.exit_timeout)
            raise

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._selector.close()
            self._pipes.close()
            self._wake_reader.close()
            self._wake_writer.close()
