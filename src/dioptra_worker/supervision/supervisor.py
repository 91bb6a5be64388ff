"""Supervises one runner: hears it, holds its deadlines, stops it, says how it ended.

The loop never calls a service: it moves what the runner says to a `Listener`, which
puts it into the outbox, so that nothing delays a signal or a deadline.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

from dioptra_worker.protocol import codec
from dioptra_worker.supervision.oom import OomDetector
from dioptra_worker.supervision.runner_output import RunnerOutput
from dioptra_worker.supervision.runner_process import Exit
from dioptra_worker.supervision.termination import RunnerReport, StopRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.protocol.messages import Message
    from dioptra_worker.supervision.launcher import Launcher
    from dioptra_worker.supervision.runner_output import Listener
    from dioptra_worker.supervision.runner_process import Pipes, Process
    from dioptra_worker.supervision.termination import GracePeriods

log = logging.getLogger("dioptra_worker.supervisor")

LONGEST_WAIT = 3600.0
DRAIN = 0.5
"""Seconds to read what a dead runner has left in its pipes."""


class Supervisor:
    """One runner's guardian, for one thread; `stop` and `call` from any other."""

    def __init__(
        self,
        launcher: Launcher,
        process: Process,
        pipes: Pipes,
        *,
        listener: Listener,
        patience: GracePeriods,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to watch over a runner.

        Args:
            launcher: Signals the runner.
            process: The runner.
            pipes: What connects us to it; the supervisor closes them.
            listener: Hears what it says.
            patience: How long to wait for it.
            clock: Says how late it is, in seconds.
        """
        self._launcher = launcher
        self._process = process
        self._pipes = pipes
        self._patience = patience
        self._clock = clock
        self._born = clock()
        self._memory = OomDetector.begin()
        self._lock = threading.Lock()
        self._stop: StopRequest | None = None
        self._calls: list[Callable[[], None]] = []
        self._deadline: tuple[float, StopRequest] | None = None
        self._kill_at: float | None = None
        self._give_up_at: float | None = None
        self._told_to_stop = False
        self._killed = False
        self._hung_up = False
        self._left = False
        self._hearing = RunnerOutput(listener)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        self._sending = threading.Lock()
        self._selector = selectors.DefaultSelector()

    # -- from any thread -------------------------------------------------------

    def stop(self, stop: StopRequest) -> None:
        """Stop the runner; the first reason counts, a later one may only be quicker."""
        with self._lock:
            if self._stop is None:
                self._stop = stop
            elif stop.kill and not self._stop.kill:
                self._stop = StopRequest(self._stop.kind, self._stop.reason, kill=True)
        self._wake()

    def call(self, function: Callable[[], None]) -> None:
        """Run a function soon in the supervisor's thread."""
        with self._lock:
            self._calls.append(function)
        self._wake()

    def send(self, message: Message) -> None:
        """Tell the runner something; one that is gone is no error here."""
        with self._sending, contextlib.suppress(OSError):
            self._pipes.control.sendall(codec.encode(message))

    # -- in the supervisor's thread --------------------------------------------

    def limit(self, seconds: float | None, stop: StopRequest | None = None) -> None:
        """Stop the runner when it is not done in time; None takes the limit away."""
        if seconds is None or stop is None:
            self._deadline = None
        else:
            self._deadline = (self._clock() + seconds, stop)

    def run(self) -> RunnerReport:
        """Watch over the runner until it has ended, or cannot be ended.

        Returns:
            What was seen; every line and message has been passed on.
        """
        with self.watching():
            while not self.over:
                self.step()
        return self.report()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Listen to the runner; at the end hear what it has left, and close."""
        self._process.on_end(self._wake)
        pipes, hearing = self._pipes, self._hearing
        sources: dict[socket.socket | int, Callable[[], bool]] = {
            self._wake_reader: self._woken,
            pipes.control: self._read_control,
            pipes.out: lambda: hearing.pipe(pipes.out, "stdout"),
            pipes.err: lambda: hearing.pipe(pipes.err, "stderr"),
        }
        with self._closing(), self._ending_on_error():
            for source, read in sources.items():
                self._selector.register(source, selectors.EVENT_READ, read)
            yield
            self._drain()

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self._process.ended.is_set() or self._left

    def step(self, wait: float | None = None) -> None:
        """Wait for what comes next and react to it.

        Args:
            wait: Seconds to wait at most; None is until the next deadline.
        """
        self._turn(self.time_left() if wait is None else wait)
        if not self.over:
            self._keep_deadlines()

    def time_left(self) -> float:
        """Seconds to the next deadline, or an hour: epoll does not take any number."""
        limited = self._limited()
        times = [self._kill_at, self._give_up_at, limited and limited[0]]
        first = min((at for at in times if at is not None), default=None)
        left = LONGEST_WAIT if first is None else first - self._clock()
        return min(max(0.0, left), LONGEST_WAIT)

    def report(self) -> RunnerReport:
        """What has been seen of the runner, once it is over."""
        how = self._process.exit or Exit(code=None, peak=None)
        return RunnerReport(
            exit=how,
            ended=self._hearing.ended,
            stop=self._stop,
            killed=self._killed,
            disconnected=self._hung_up,
            left=self._left,
            begun=self._hearing.begun,
            step=self._hearing.step,
            seconds=self._clock() - self._born,
            out_of_memory=self._memory.ran_out(how.peak),
            memory_limit=self._memory.limit,
        )

    def _turn(self, timeout: float) -> bool:
        """Read what is there, or comes in time; whether there was anything."""
        ready = self._selector.select(timeout)
        for key, _ in ready:
            if not key.data():
                self._selector.unregister(key.fileobj)
        return bool(ready)

    def _drain(self) -> None:
        """Read what a dead runner has left; a child of it may keep the pipes open."""
        until = self._clock() + (0.0 if self._left else DRAIN)
        while len(self._selector.get_map()) > 1:
            left = until - self._clock()
            if left <= 0 or not self._turn(left):
                break
        self._hearing.finish()

    def _woken(self) -> bool:
        self._wake_reader.recv(4096)
        with self._lock:
            calls, self._calls = self._calls, []
        for function in calls:
            function()
        return True

    def _read_control(self) -> bool:
        spoke = self._hearing.ended is not None
        alive = self._hearing.control(self._pipes.control)
        ended = self._hearing.ended is not None
        self._hung_up = not alive and not ended
        if self._hung_up or (ended and not spoke):
            self._kill_by(self._clock() + self._patience.last_words)
        return alive

    def _limited(self) -> tuple[float, StopRequest] | None:
        """The time limit, as long as it matters."""
        idle = self._stop is None and self._hearing.ended is None
        return self._deadline if idle else None

    def _keep_deadlines(self) -> None:
        now = self._clock()
        limited = self._limited()
        if limited is not None and now >= limited[0]:
            self.stop(limited[1])
        if self._stop is not None and not self._told_to_stop:
            self._told_to_stop = True
            self._launcher.signal(self._process, signal.SIGTERM)
            self._kill_by(now + self._patience.grace)
        if self._stop is not None and self._stop.kill:
            self._kill_by(now)
        if self._give_up_at is not None and now >= self._give_up_at:
            self._leave()
        elif self._kill_at is not None and now >= self._kill_at:
            self._kill(now)

    def _kill_by(self, at: float) -> None:
        """Have the runner killed when it has not ended until then; never put off."""
        if self._give_up_at is None:  # it is not being killed already
            self._kill_at = at if self._kill_at is None else min(at, self._kill_at)

    def _kill(self, now: float) -> None:
        self._killed = self._killed or self._hearing.ended is None
        self._kill_at = now + self._patience.kill_again
        if self._give_up_at is None:
            self._give_up_at = now + self._patience.give_up
        self._launcher.signal(self._process, signal.SIGKILL)

    def _leave(self) -> None:
        """Go on without the runner's end, which may never come."""
        self._left = True
        log.error(
            "process %d was killed %g s ago and has not ended: the system holds it, as"
            " when a disk does not answer; it is left behind",
            self._process.pid,
            self._patience.give_up,
        )

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self._wake_writer.send(b"w")

    @contextlib.contextmanager
    def _ending_on_error(self) -> Iterator[None]:
        """Leave no runner behind that nobody watches."""
        try:
            yield
        except BaseException:
            self._launcher.signal(self._process, signal.SIGKILL)
            self._process.ended.wait(self._patience.last_words)
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
