"""Supervises one runner: hears it, holds its deadlines, stops it, says how it ended.

The loop never calls a service: it moves what the runner says to a `Listener`, which
puts it into the outbox, so that nothing delays a signal or a deadline.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from dioptra_worker import records
from dioptra_worker.daemon.lines import LineAssembler
from dioptra_worker.daemon.memory import MemoryWatch
from dioptra_worker.records import Ended, Message, StepEnded, StepStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.daemon.launcher import Exit, Launcher, Pipes, Process

log = logging.getLogger("dioptra_worker.supervisor")

StopKind = Literal["timeout", "requested", "shutdown", "gone", "setup"]
Stream = Literal["stdout", "stderr"]

LAST_WORDS = 2.0
"""Seconds that a runner may take to end after its last message."""
KILL_AGAIN = 5.0
"""Seconds after which a runner that was killed and has not ended is killed again."""
LONGEST_WAIT = 3600.0
DRAIN = 0.5
"""Seconds to read what a dead runner has left in its pipes."""
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Stop:
    """Why a runner is stopped.

    Attributes:
        kind: What the daemon decides by.
        reason: What people read, as the end of "the job was stopped: ...".
        at_once: Kill it without a grace period.
    """

    kind: StopKind
    reason: str
    at_once: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the supervisor saw of a runner.

    Attributes:
        exit: How the process ended.
        ended: The runner's own last word, if it had one.
        stop: Why it was stopped, if it was.
        killed: Whether it had to be killed.
        step: The step that was running, if one was.
        seconds: How long the runner lived.
        out_of_memory: Whether there is evidence that memory ran out meanwhile.
        memory_limit: Bytes that it could have had.
    """

    exit: Exit
    ended: Ended | None
    stop: Stop | None
    killed: bool
    step: str | None
    seconds: float
    out_of_memory: bool = False
    memory_limit: int | None = None


class Listener(Protocol):
    """Hears what a runner says, in order."""

    def message(self, message: Message) -> None:
        """A message from the runner."""
        ...

    def line(self, stream: Stream, text: str) -> None:
        """A line that the job or a process of it wrote."""
        ...


class Supervisor:
    """One runner's guardian, for one thread; `stop` and `call` from any other."""

    def __init__(
        self,
        launcher: Launcher,
        process: Process,
        pipes: Pipes,
        *,
        listener: Listener,
        grace: float,
    ) -> None:
        """Begin to watch over a runner.

        Args:
            launcher: Signals the runner.
            process: The runner.
            pipes: What connects us to it; the supervisor closes them.
            listener: Hears what it says.
            grace: Seconds between telling it to stop and killing it.
        """
        self._launcher = launcher
        self._process = process
        self._pipes = pipes
        self._listener = listener
        self._grace = grace
        self._born = time.monotonic()
        self._memory = MemoryWatch.begin()
        self._lock = threading.Lock()
        self._stop: Stop | None = None
        self._calls: list[Callable[[], None]] = []
        self._deadline: tuple[float, Stop] | None = None
        self._kill_at: float | None = None
        self._told_to_stop = False
        self._killing = False
        self._killed = False
        self._ended: Ended | None = None
        self._step: str | None = None
        self._lines: dict[object, LineAssembler] = {}
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        self._sending = threading.Lock()

    # -- from any thread -------------------------------------------------------

    def stop(self, stop: Stop) -> None:
        """Stop the runner; the first reason counts, a later one may only be quicker."""
        with self._lock:
            if self._stop is None:
                self._stop = stop
            elif stop.at_once and not self._stop.at_once:
                self._stop = Stop(self._stop.kind, self._stop.reason, at_once=True)
        self._wake()

    def call(self, function: Callable[[], None]) -> None:
        """Run a function soon in the supervisor's thread."""
        with self._lock:
            self._calls.append(function)
        self._wake()

    def send(self, message: Message) -> None:
        """Tell the runner something; one that is gone is no error here."""
        with self._sending, contextlib.suppress(OSError):
            self._pipes.control.sendall(records.encode(message))

    @property
    def step(self) -> str | None:
        """The step that is running."""
        return self._step

    # -- in the supervisor's thread --------------------------------------------

    def limit(self, seconds: float | None, stop: Stop | None = None) -> None:
        """Stop the runner when it is not done in time; None takes the limit away."""
        if seconds is None or stop is None:
            self._deadline = None
        else:
            self._deadline = (time.monotonic() + seconds, stop)

    def run(self) -> Report:
        """Watch over the runner until it has ended.

        Returns:
            What was seen; every line and message has been passed on.
        """
        self._process.on_end(self._wake)
        with (
            self._closing(),
            self._ending_on_error(),
            selectors.DefaultSelector() as selector,
        ):
            selector.register(self._wake_reader, selectors.EVENT_READ, self._woken)
            sources: dict[socket.socket | int, Callable[[], bool]] = {
                self._pipes.control: self._read_control,
                self._pipes.out: lambda: self._read_pipe(self._pipes.out, "stdout"),
                self._pipes.err: lambda: self._read_pipe(self._pipes.err, "stderr"),
            }
            for source, read in sources.items():
                selector.register(source, selectors.EVENT_READ, read)
            while not self._process.ended.is_set():
                self._turn(selector, self._next_deadline())
                self._keep_deadlines()
            until = time.monotonic() + DRAIN
            while len(selector.get_map()) > 1 and time.monotonic() < until:
                self._turn(selector, until - time.monotonic())
            self._flush_lines()
        assert self._process.exit is not None
        return Report(
            exit=self._process.exit,
            ended=self._ended,
            stop=self._stop,
            killed=self._killed,
            step=self._step,
            seconds=time.monotonic() - self._born,
            out_of_memory=self._memory.ran_out(self._process.exit.peak),
            memory_limit=self._memory.limit,
        )

    def _turn(self, selector: selectors.BaseSelector, timeout: float | None) -> None:
        for key, _ in selector.select(timeout):
            if not key.data():
                selector.unregister(key.fileobj)

    def _woken(self) -> bool:
        self._wake_reader.recv(4096)
        with self._lock:
            calls, self._calls = self._calls, []
        for function in calls:
            function()
        return True

    def _next_deadline(self) -> float:
        """Seconds to wait at most; an hour, as more can be more than epoll takes."""
        times = [self._kill_at] if self._kill_at is not None else []
        if self._deadline is not None and self._stop is None and not self._ended:
            times.append(self._deadline[0])
        left = min(times) - time.monotonic() if times else LONGEST_WAIT
        return min(max(0.0, left), LONGEST_WAIT)

    def _keep_deadlines(self) -> None:
        now = time.monotonic()
        if self._deadline is not None and self._stop is None and not self._ended:
            at, stop = self._deadline
            if now >= at:
                self.stop(stop)
        if self._stop is not None and not self._told_to_stop:
            self._told_to_stop = True
            self._launcher.signal(self._process, signal.SIGTERM)
            self._kill_at = now + self._grace
        due = self._kill_at is not None and now >= self._kill_at
        at_once = self._stop is not None and self._stop.at_once and not self._killing
        if due or at_once:
            self._killing = True
            self._killed = self._killed or self._ended is None
            self._kill_at = now + KILL_AGAIN
            self._launcher.signal(self._process, signal.SIGKILL)

    def _read_control(self) -> bool:
        try:
            data = self._pipes.control.recv(_CHUNK)
        except ConnectionError:  # it died before it had read all that we said
            return False
        assembler = self._lines.setdefault("control", LineAssembler(limit=None))
        for line in assembler.feed(data):
            self._take(line)
        return bool(data)

    def _take(self, line: bytes) -> None:
        if not line:  # it was stopped while it spoke, and began a new line
            return
        try:
            message = records.decode(line)
        except ValueError:  # cut off by a signal, or user code wrote to our socket
            self._listener.line("stderr", line.decode("utf-8", "backslashreplace"))
            return
        if isinstance(message, StepStarted):
            self._step = message.step
        elif isinstance(message, StepEnded):
            self._step = None
        elif isinstance(message, Ended):
            self._ended = message
            self._kill_at = time.monotonic() + LAST_WORDS
        if isinstance(message, records.Output):
            text = message.text.encode("utf-8", "backslashreplace")
            self._text("python", message.stream, text)
        else:
            self._listener.message(message)

    def _read_pipe(self, descriptor: int, stream: Stream) -> bool:
        data = os.read(descriptor, _CHUNK)
        self._text("pipe", stream, data)
        return bool(data)

    def _text(self, source: str, stream: Stream, data: bytes) -> None:
        assembler = self._lines.setdefault((source, stream), LineAssembler())
        for line in assembler.feed(data):
            self._listener.line(stream, line.decode("utf-8", "backslashreplace"))

    def _flush_lines(self) -> None:
        for key, assembler in self._lines.items():
            rest = assembler.rest()
            if rest and isinstance(key, tuple):
                text = rest.decode("utf-8", "backslashreplace")
                self._listener.line(key[1], text)

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
            self._process.ended.wait(LAST_WORDS)
            raise

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._pipes.close()
            self._wake_reader.close()
            self._wake_writer.close()
