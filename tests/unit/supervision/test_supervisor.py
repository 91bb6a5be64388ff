"""The supervisor with real child processes that speak as runners do.

What stands in for the fork server is a thread that waits for the child and signals its
group: how the fork server does that, ``tests/integration/test_launcher.py`` tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from dioptra_worker.common.stop import JobStop, StopRequest
from dioptra_worker.protocol.messages import (
    Log,
    Message,
    RunnerResult,
    SessionReply,
    Start,
    StepEnded,
    StepStarted,
)
from dioptra_worker.supervision.forkserver.runner_process import (
    ProcessExit,
    ProcessHandle,
    RunnerPipes,
)
from dioptra_worker.supervision.supervisor import Supervisor
from dioptra_worker.supervision.termination import GracePeriods
from dioptra_worker.supervision.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.protocol.messages import OutputStream
    from dioptra_worker.supervision.launcher import Launcher
    from dioptra_worker.supervision.termination import RunnerReport

pytestmark = pytest.mark.process

PREAMBLE = """
import os, signal, socket, sys, time
from dioptra_worker.protocol.messages import *
from dioptra_worker.protocol.codec import decode, encode

sock = socket.socket(fileno=int(sys.argv[1]))

def say(message):
    sock.sendall(encode(message))

def log(text):
    say(Log(severity="INFO", logger="job", message=text))

def end(ending="finished"):
    say(RunnerResult(ending=ending, reason="", run_closed=True))

class Stopped(BaseException):
    pass

def stopped(*_):
    raise Stopped
"""
READY = "log('ready')\n"
WAIT = f"{READY}time.sleep(60)\n"
DEAF = f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WAIT}"


class Heard:
    """Remembers what a runner says, in order, and reacts."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self.refusals: list[str] = []
        self.reactions: dict[str, Callable[[], None]] = {}

    def message(self, message: Message) -> None:
        """A message."""
        self.all.append(message)
        if isinstance(message, Log):
            self.reactions.get(message.message, lambda: None)()

    def refused(self, words: str) -> None:
        """A message was ignored."""
        self.refusals.append(words)

    def line(self, stream: OutputStream, text: str) -> None:
        """A line."""
        self.all.append((stream, text))

    @property
    def texts(self) -> list[str]:
        """The texts of log records."""
        return [each.message for each in self.all if isinstance(each, Log)]

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Lines with their streams."""
        return [each for each in self.all if isinstance(each, tuple)]


class Signals:
    """Signals the group of a child, as the fork server does for the launcher."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.lose = 0

    def signal(self, process: ProcessHandle, signum: int) -> None:
        """Signal; *lose* so many signals first."""
        self.sent.append(signum)
        if self.lose:
            self.lose -= 1
            return
        if not process.ended.is_set():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, signum)


class Limit:
    """A deadline that tests set."""

    def __init__(self) -> None:
        self.due_at: float | None = None
        self.stop_request = StopRequest("timeout", "")

    def set(self, seconds: float | None, stop: StopRequest) -> None:
        """Stop the runner when it is not done in time; None takes the limit away."""
        self.due_at = None if seconds is None else time.monotonic() + seconds
        self.stop_request = stop


class Watched:
    """A child and its supervisor.

    Attributes:
        heard: What it has said.
        signals: What was sent to it.
        asked: Whether it is to stop.
        limit: Until when it may run.
        pipes: What connects us to it.
        supervisor: Who watches it.
        child: The process.
        process: The same, as the launcher would hand it out.
    """

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        process: ProcessHandle,
        pipes: RunnerPipes,
        grace_periods: GracePeriods,
    ) -> None:
        self.child = child
        self.process = process
        self.heard = Heard()
        self.signals = Signals()
        self.limit = Limit()
        self.asked = JobStop()
        self.pipes = pipes
        self.supervisor = Supervisor(
            cast("Launcher", self.signals),
            process,
            pipes,
            listener=self.heard,
            stop=self.asked,
            deadline=self.limit,
            grace_periods=grace_periods,
        )

    def run(self) -> RunnerReport:
        """Watch until the end."""
        return self.supervisor.run()

    def when_ready(self, reaction: Callable[[], None]) -> Watched:
        """Do something when the child says that it is ready."""
        self.heard.reactions["ready"] = reaction
        return self

    def stop(self, kind: Any = "requested", *, kill: bool = False) -> None:
        """Stop it."""
        self.asked.request(StopRequest(kind, "why", kill=kill))


@contextmanager
def _watched(code: str, **grace_periods: float) -> Iterator[Watched]:
    ours, theirs = socket.socketpair()
    out, out_there = os.pipe()
    err, err_there = os.pipe()
    command = [sys.executable, "-c", PREAMBLE + code, str(theirs.fileno())]
    with theirs, ExitStack() as there:
        for descriptor in (out_there, err_there):
            there.callback(os.close, descriptor)
        child = subprocess.Popen(
            command,
            stdout=out_there,
            stderr=err_there,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    process = ProcessHandle(child.pid)

    def wait() -> None:
        process.set_exit(ProcessExit(code=child.wait(), peak=None))

    waiter = threading.Thread(target=wait)
    waiter.start()
    try:
        yield Watched(
            child,
            process,
            RunnerPipes(control=ours, out=out, err=err),
            GracePeriods(**{"grace": 0.3, **grace_periods}),
        )
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        waiter.join()


def _run(code: str, **grace_periods: float) -> tuple[RunnerReport, Heard]:
    with _watched(code, **grace_periods) as watched:
        return watched.run(), watched.heard


def test_messages_and_lines_arrive_in_order() -> None:
    """What comes over the socket arrives in order, lines of output among it."""
    report, heard = _run(
        """
log("one")
say(Output(stream="stdout", text="two\\nthr"))
log("four")
say(Output(stream="stdout", text="ee\\n"))
say(Output(stream="stderr", text="five"))
end()
"""
    )
    assert report.exit == ProcessExit(code=0, peak=None)
    assert report.result == RunnerResult(ending="finished", reason="", run_closed=True)
    assert [
        each.message if isinstance(each, Log) else each
        for each in heard.all
        if not isinstance(each, RunnerResult)
    ] == ["one", ("stdout", "two"), "four", ("stdout", "three"), ("stderr", "five")]


def test_native_output_is_heard() -> None:
    """What is written to the descriptors arrives in lines, with bars collapsed."""
    report, heard = _run(
        r"""
os.write(1, b"10%\r99%\n\xff no text\nno end")
os.write(2, b"dying words\n")
os.kill(os.getpid(), signal.SIGSEGV)
"""
    )
    assert report.exit.code == -signal.SIGSEGV
    assert report.result is None
    assert [text for stream, text in heard.lines if stream == "stdout"] == [
        "99%",
        "\\xff no text",
        "no end",
    ]
    assert ("stderr", "dying words") in heard.lines


def test_all_output_of_a_dead_runner_is_read() -> None:
    """Whatever lies in socket and pipes when a runner dies is passed on."""
    with _watched(
        r"""
os.write(1, b"x" * 60_000 + b"\n")
os.write(2, b"y" * 60_000)
for number in range(100):
    log(f"record {number}")
os._exit(3)
"""
    ) as watched:
        assert watched.process.ended.wait(10)  # before anybody listens
        report, heard = watched.run(), watched.heard
    assert report.exit.code == 3
    assert heard.texts == [f"record {number}" for number in range(100)]
    assert ("stdout", "x" * 60_000) in heard.lines
    assert ("stderr", "y" * 60_000) in heard.lines


def test_garbage_on_the_socket_is_shown_and_does_no_harm() -> None:
    """What is no message is a line of the log, and the next message is heard."""
    _, heard = _run(
        r"""
sock.sendall(b"no message \xff\n\n")
sock.sendall(b'{"is":"Output","stream":"stdout","text":7}\n')
sock.sendall(b'{"is":"Output","stream":"stdout","text":"\\udc80 lone\\n"}\n')
log("still there")
sock.sendall(b'{"is":"Log","cut off')
"""
    )
    assert heard.lines[0] == ("stderr", "no message \\xff")
    assert heard.lines[1][1].startswith('{"is":"Output"')
    assert heard.lines[2] == ("stdout", "\\udc80 lone")
    assert heard.texts == ["still there"]
    assert len(heard.lines) == 3


def test_the_running_step_is_known() -> None:
    """The report names the step that was running, and none between two."""
    started = StepStarted(step="a", task="t", index=1, total=2)
    report, heard = _run(f"say({started!r})\nos._exit(1)")
    assert report.step == "a"
    assert heard.all == [started]
    report, _ = _run(f"say({started!r})\nsay({StepEnded(step='a', seconds=1.0)!r})")
    assert report.step is None


def test_a_runner_is_spoken_to() -> None:
    """What is sent to the runner arrives, from any thread."""
    with _watched(
        READY + "message = decode(sock.makefile('rb').readline())\nlog(message.url)"
    ) as watched:
        answer = SessionReply(request_id=1, url="http://api", cookies={})
        watched.when_ready(
            lambda: threading.Thread(target=watched.pipes.send, args=[answer]).start()
        )
        watched.run()
        assert watched.heard.texts == ["ready", "http://api"]


def test_calls_run_in_the_supervisors_thread() -> None:
    """A function that another thread hands over runs in the supervisor's own, soon."""
    with _watched(WAIT) as watched:
        threads: list[threading.Thread] = []

        def call() -> None:
            threads.append(threading.current_thread())
            watched.stop()

        watched.when_ready(
            lambda: threading.Thread(
                target=watched.supervisor.call_soon, args=[call]
            ).start()
        )
        watched.run()
        assert threads == [threading.current_thread()]


def test_stopping_is_told_and_waited_for() -> None:
    """A runner that is told to stop may say how it ended, and is not killed."""
    with _watched(
        "signal.signal(signal.SIGTERM, stopped)\n"
        f"try:\n    {READY}    time.sleep(60)\nexcept Stopped:\n    end('stopped')"
    ) as watched:
        report = watched.when_ready(watched.stop).run()
    assert report.stop == StopRequest("requested", "why")
    assert report.result is not None
    assert report.result.ending == "stopped"
    assert (report.exit.code, report.killed) == (0, False)
    assert watched.signals.sent == [signal.SIGTERM]


def test_a_deaf_runner_is_killed_after_the_grace_period() -> None:
    """A runner that does not stop is killed when the grace period is over."""
    begun: list[float] = []
    with _watched(DEAF) as watched:

        def stop() -> None:
            begun.append(time.monotonic())
            watched.stop()

        report = watched.when_ready(stop).run()
        took = time.monotonic() - begun[0]
    assert report.exit.code == -signal.SIGKILL
    assert report.killed
    assert watched.signals.sent == [signal.SIGTERM, signal.SIGKILL]
    assert 0.3 <= took < 3


def test_at_once_means_at_once() -> None:
    """Without a grace period the runner is killed right away."""
    with _watched(DEAF, grace=60.0) as watched:
        report = watched.when_ready(lambda: watched.stop(kill=True)).run()
    assert report.exit.code == -signal.SIGKILL
    assert report.seconds < 10


def test_the_first_reason_counts_and_a_later_one_may_hurry() -> None:
    """A second stop changes no reason, but can end the grace period."""
    with _watched(DEAF, grace=60.0) as watched:

        def stop_twice() -> None:
            watched.stop("shutdown")
            watched.stop("requested", kill=True)
            watched.stop("gone")

        report = watched.when_ready(stop_twice).run()
    assert report.stop == StopRequest("shutdown", "why", kill=True)
    assert report.seconds < 10


def test_a_kill_that_was_lost_is_repeated() -> None:
    """A runner that was killed and still lives is killed again, without spinning."""
    with _watched(DEAF, kill_interval=0.1) as watched:
        watched.signals.lose = 4
        begun = time.process_time()
        report = watched.when_ready(lambda: watched.stop(kill=True)).run()
    assert report.exit.code == -signal.SIGKILL
    assert watched.signals.sent == [signal.SIGTERM, *[signal.SIGKILL] * 4]
    assert time.process_time() - begun < 0.3


def test_limits() -> None:
    """A runner that is not done in time is stopped for the limit's reason."""
    stop = StopRequest("timeout", "timed out")
    with _watched(WAIT) as watched:
        watched.when_ready(lambda: watched.limit.set(0.05, stop))
        report = watched.run()
    assert report.stop == stop
    assert report.exit.code == -signal.SIGTERM


@pytest.mark.parametrize("seconds", [None, 1e15, 40 * 86_400.0])
def test_a_limit_that_is_far_or_none(seconds: float | None) -> None:
    """A job may have weeks, or no limit at all."""
    with _watched("log('ready')\ntime.sleep(0.1)\nend()") as watched:
        watched.limit.set(0.001 if seconds is None else 9, StopRequest("timeout", "x"))
        watched.limit.set(seconds, StopRequest("timeout", "x"))
        report = watched.run()
    assert report.stop is None
    assert report.result is not None


def test_no_limit_holds_after_the_last_word() -> None:
    """A runner that has said how it ended is not stopped for its limit any more."""
    with _watched("end()\nlog('ready')\ntime.sleep(0.3)") as watched:
        watched.when_ready(
            lambda: watched.limit.set(0.0, StopRequest("timeout", "too late"))
        )
        begun = time.process_time()
        report = watched.run()
        assert time.process_time() - begun < 0.2
    assert report.stop is None
    assert watched.signals.sent == []


def test_a_runner_that_cannot_be_killed_is_left() -> None:
    """A runner that no kill ends is left behind, and what it said is passed on."""
    with _watched(DEAF, kill_interval=0.05, abandon_after=0.3) as watched:
        watched.signals.lose = 1000
        report = watched.when_ready(lambda: watched.stop(kill=True)).run()
        assert watched.child.poll() is None
    assert report.abandoned
    assert report.exit == ProcessExit(code=None, peak=None)
    assert watched.heard.texts == ["ready"]
    assert watched.signals.sent.count(signal.SIGKILL) > 1


def test_a_runner_that_hangs_up_is_killed() -> None:
    """A runner that closes its socket and lives on would say nothing any more."""
    report, _ = _run("sock.close()\ntime.sleep(60)", exit_timeout=0.1)
    assert report.disconnected
    assert report.killed
    assert report.exit.code == -signal.SIGKILL


def test_a_runner_that_does_not_go_is_killed() -> None:
    """A runner that stays after its last word is killed, which changes no fate."""
    report, _ = _run("end()\ntime.sleep(60)", exit_timeout=0.1)
    assert report.exit.code == -signal.SIGKILL
    assert report.result is not None
    assert not report.killed


def test_a_runner_that_goes_on_saying_is_killed() -> None:
    """Neither a flood of messages nor full pipes put its end off after its result."""
    report, _ = _run(
        """
import subprocess
kids = [subprocess.Popen(["yes"], stdout=fd) for fd in (1, 2)]
sock.sendall(b"\\n" * 30_000)
end()
flood = (encode(Log(severity="INFO", logger="job", message="x")) + b"\\n" * 9) * 999
while True:
    sock.sendall(flood)
""",
        exit_timeout=0.5,
    )
    assert report.exit.code == -signal.SIGKILL
    assert report.result is not None


def test_a_stop_after_the_last_word_puts_nothing_off() -> None:
    """A runner that stays after its last word gets no grace period on top."""
    code = f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\nend()\n{WAIT}"
    with _watched(code, exit_timeout=0.1, grace=600.0) as watched:
        report = watched.when_ready(watched.stop).run()
    assert report.exit.code == -signal.SIGKILL
    assert report.result is not None


def test_a_child_that_keeps_the_pipes_is_not_waited_for() -> None:
    """A process that a job left behind and that holds its pipes delays nothing."""
    with _watched(
        f"{READY}if os.fork() == 0:\n    time.sleep(12)\n    os._exit(0)\nend()"
    ) as watched:
        begun = time.monotonic()
        report = watched.run()
        assert time.monotonic() - begun < 10
        assert report.result is not None
        os.killpg(watched.child.pid, signal.SIGKILL)


def test_a_runner_killed_with_unread_messages() -> None:
    """A runner that dies before it has read what we said is one that died, no error."""
    with _watched(READY + "time.sleep(60)") as watched:
        begin = Start(job_id=1, directory="d", api_url="u", log_level="INFO", grace=1.0)

        def send_and_kill() -> None:
            watched.pipes.send(begin)
            watched.stop(kill=True)

        report = watched.when_ready(send_and_kill).run()
    assert report.stop is not None
    assert report.exit.code in {-signal.SIGKILL, -signal.SIGTERM}
    assert watched.heard.texts == ["ready"]


def test_nothing_is_left_when_the_listener_breaks() -> None:
    """Should listening fail, the runner is ended before the error is passed on."""
    with _watched(DEAF) as watched:

        def fail() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            watched.when_ready(fail).run()
        assert watched.child.poll() == -signal.SIGKILL


def test_everything_is_closed_afterwards() -> None:
    """A supervisor leaves no descriptor open, and may be spoken to for ever."""
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        with _watched("end()") as watched:
            watched.run()
            watched.stop()
            watched.supervisor.call_soon(lambda: None)
            watched.pipes.send(SessionReply(request_id=1, url="u", cookies={}))
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_what_a_runner_does_not_read_delays_nothing() -> None:
    """A plan larger than any buffer, unread, and a limit that holds all the same."""
    timeout = StopRequest("timeout", "too slow")
    with _watched(WAIT) as watched:
        watched.pipes.send(_long_message())
        report = watched.when_ready(lambda: watched.limit.set(0.1, timeout)).run()
    assert report.stop == timeout


def test_a_runner_that_leaves_its_answers_unread_is_stopped() -> None:
    """Answers that nobody reads are kept up to a limit, which the job fails for."""

    def answer() -> None:
        for _ in range(4):
            watched.pipes.send(_long_message())

    with _watched(f"{READY}time.sleep(60)\nend()\n") as watched:
        report = watched.when_ready(answer).run()
    assert "8 MiB of answers unread" in judge(report).reason
    assert judge(report).fate == "failed"


def test_a_long_message_is_read_to_its_end() -> None:
    """What the runner reads late comes whole."""
    code = """
log("ready")
with sock.makefile("rb") as lines:
    log(str(len(decode(lines.readline()).message)))
end()
"""
    with _watched(code) as watched:
        watched.when_ready(lambda: watched.pipes.send(_long_message())).run()
        assert watched.heard.texts == ["ready", str(4 << 20)]


def _long_message() -> Log:
    return Log(severity="INFO", logger="", message="x" * (4 << 20))
