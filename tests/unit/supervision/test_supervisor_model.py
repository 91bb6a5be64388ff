"""Whatever a runner and those around it do, and in whatever order: one end, in time.

Sockets and pipes are real, the runner's process, the launcher and the clock are
simulated: no process is started and nothing waits, so that every story is told the
same way each time.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from dioptra_worker.common.stop import JobStop, StopKind, StopRequest
from dioptra_worker.protocol.codec import encode
from dioptra_worker.protocol.messages import (
    Ending,
    Log,
    Message,
    RunnerResult,
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
    from dioptra_worker.common.outcome import Outcome
    from dioptra_worker.protocol.messages import OutputStream
    from dioptra_worker.supervision.launcher import Launcher

GRACE_PERIODS = GracePeriods(
    grace=10.0, exit_timeout=2.0, kill_interval=5.0, abandon_after=60.0
)
BOUND = GRACE_PERIODS.grace + GRACE_PERIODS.abandon_after
"""Simulated seconds within which every runner that was told to stop is done with."""
TICK = 2.0**-20
"""Seconds that the clock moves at least; binary, so that sums of times are exact."""
FATES: dict[StopKind, tuple[str, str]] = {
    "timeout": ("failed", "FAILED"),
    "setup": ("failed", "FAILED"),
    "requested": ("stopped", "KILLED"),
    "shutdown": ("given back", "KILLED"),
    "gone": ("dropped", "KILLED"),
    "limit": ("failed", "FAILED"),
}


@dataclass
class World:
    """A clock, a runner that may obey signals, and who sends them.

    Attributes:
        now: The time in seconds.
        process: What the launcher hands out.
        control: The runner's end of the socket; None when it has closed it.
        pipes: The runner's ends of its standard output and error.
        obeys: The signals that the runner obeys.
        signals: What was sent to it, and when.
    """

    control: socket.socket | None
    pipes: list[int]
    now: float = 1000.0
    process: ProcessHandle = field(default_factory=lambda: ProcessHandle(4711))
    obeys: set[int] = field(
        default_factory=lambda: {int(signal.SIGTERM), int(signal.SIGKILL)}
    )
    signals: list[tuple[float, int]] = field(default_factory=list)

    def signal(self, process: ProcessHandle, signum: int) -> None:
        """Signal the runner, as the launcher does."""
        assert process is self.process
        self.signals.append((self.now, signum))
        if signum in self.obeys:
            self.exit(-signum)

    def exit(self, code: int) -> None:
        """The runner's process ends."""
        if self.process.ended.is_set():
            return
        self.hang_up()
        for descriptor in self.pipes:
            os.close(descriptor)
        self.pipes.clear()
        self.process.set_exit(ProcessExit(code=code, peak=None))

    def hang_up(self) -> None:
        """The runner closes its socket."""
        if self.control is not None:
            self.control.close()
            self.control = None


@dataclass
class Limit:
    """A deadline that is set and taken away.

    Attributes:
        due_at: When the runner is stopped; None is never.
        stop_request: Why.
    """

    due_at: float | None = None
    stop_request: StopRequest = field(
        default_factory=lambda: StopRequest("timeout", "because of timeout")
    )


@dataclass
class Ear:
    """Keeps what it hears."""

    messages: list[Message] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def message(self, message: Message) -> None:
        """A message."""
        self.messages.append(message)

    def refused(self, words: str) -> None:
        """A message was ignored: none of these is."""
        raise AssertionError(words)

    def line(self, stream: OutputStream, text: str) -> None:
        """A line."""
        assert stream in {"stdout", "stderr"}
        self.lines.append(text)


class Supervision(RuleBasedStateMachine):
    """One runner and its supervisor, from the first word to the verdict."""

    @initialize(
        obeys=st.sets(st.sampled_from([int(signal.SIGTERM), int(signal.SIGKILL)])),
        mortal=st.booleans(),
    )
    def begin(self, obeys: set[int], mortal: bool) -> None:
        """A runner begins; it may be deaf, stuck, or never end by itself."""
        self.mortal = mortal
        self.descriptors = len(list(Path("/dev/fd").iterdir()))
        ours, theirs = socket.socketpair()
        out, out_there = os.pipe()
        err, err_there = os.pipe()
        self.world = World(control=theirs, pipes=[out_there, err_there], obeys=obeys)
        self.ear = Ear()
        self.limit = Limit()
        self.asked = JobStop(clock=lambda: self.world.now)
        self.supervisor = Supervisor(
            cast("Launcher", self.world),
            self.world.process,
            RunnerPipes(control=ours, out=out, err=err),
            listener=self.ear,
            stop=self.asked,
            deadline=self.limit,
            grace_periods=GRACE_PERIODS,
            clock=lambda: self.world.now,
        )
        self.watching = ExitStack()
        self.watching.enter_context(self.supervisor.watching())
        self.said: list[Message] = []
        self.written = 0
        self.last_word: RunnerResult | None = None
        self.torn = False
        self.first_stop: StopRequest | None = None
        self.limit_at: float | None = None
        self.may_kill_at: list[float] = []

    # -- what a runner does ----------------------------------------------------

    def _alive(self) -> bool:
        return not self.world.process.ended.is_set()

    def _watched(self) -> bool:
        return not self.supervisor.is_over

    def _speaks(self) -> bool:
        listened_to = self._watched() and self.world.control is not None
        return listened_to and not self.torn

    def _say(self, message: Message) -> None:
        assert self.world.control is not None
        self.world.control.sendall(encode(message))
        self.said.append(message)

    @precondition(_watched)
    @rule(what=st.sampled_from(["log", "step", "end of step", "out", "err", "line"]))
    def speaks(self, what: str) -> None:
        """It says something, or writes to its standard output or error."""
        if what in {"out", "err", "line"}:
            end = b"\n" if what == "line" else b""
            os.write(self.world.pipes[what == "err"], b"[\xff]" + end)
            self.written += 1
        elif self._speaks():
            text = f"record {len(self.said)}"
            messages: dict[str, Message] = {
                "log": Log(severity="INFO", logger="job", message=text),
                "step": StepStarted(step="train", task="t", index=1, total=1),
                "end of step": StepEnded(step="train", seconds=1.0),
            }
            self._say(messages[what])

    @precondition(lambda self: self._speaks() and self.last_word is None)
    @rule(ending=st.sampled_from(["finished", "failed", "stopped"]))
    def has_a_last_word(self, ending: Ending) -> None:
        """It says how it ended, and may go on nevertheless."""
        reason = "" if ending == "finished" else "it broke"
        word = RunnerResult(ending=ending, reason=reason, run_closed=True)
        self._say(word)
        self.last_word = word
        self.may_kill_at.append(self.world.now + GRACE_PERIODS.exit_timeout)

    @precondition(_speaks)
    @rule(garbage=st.binary(min_size=1, max_size=20), torn=st.booleans())
    def writes_garbage(self, garbage: bytes, torn: bool) -> None:
        """User code writes to our socket; *torn* is what no line end follows."""
        assert self.world.control is not None
        self.world.control.sendall(b"{" + garbage + (b"" if torn else b"\n"))
        self.torn = torn

    @precondition(_speaks)
    @rule()
    def hangs_up(self) -> None:
        """It closes its connection to us and lives on."""
        self.world.hang_up()
        if self.last_word is None:
            self.may_kill_at.append(self.world.now + GRACE_PERIODS.exit_timeout)

    @precondition(lambda self: self._watched() and self.mortal)
    @rule(code=st.sampled_from([0, 1, 3, -signal.SIGSEGV, -signal.SIGKILL]))
    def ends(self, code: int) -> None:
        """Its process ends, by itself or by the system."""
        self.world.exit(code)

    @precondition(_watched)
    @rule()
    def gets_stuck(self) -> None:
        """It waits in the kernel, where no signal ends it."""
        self.world.obeys.clear()

    # -- what others do --------------------------------------------------------

    @precondition(_watched)
    @rule(kind=st.sampled_from(sorted(FATES)), kill=st.booleans())
    def is_stopped(self, kind: StopKind, kill: bool) -> None:
        """Somebody wants it stopped: a user, the API, the end of the daemon."""
        self._stop(StopRequest(kind, f"because of {kind}", kill=kill))
        self.asked.request(StopRequest(kind, f"because of {kind}", kill=kill))

    def _stop(self, stop: StopRequest) -> None:
        if self.first_stop is None:
            self.first_stop = stop
            self.may_kill_at.append(self.world.now + GRACE_PERIODS.grace)
        if stop.kill:
            self.may_kill_at.append(self.world.now)

    @precondition(_watched)
    @rule(seconds=st.sampled_from([None, 0.0, 5.0, 1e12]))
    def gets_a_limit(self, seconds: float | None) -> None:
        """Its time limit is set, or taken away."""
        self.limit_at = None if seconds is None else self.world.now + seconds
        self.limit.due_at = self.limit_at

    @rule(seconds=st.sampled_from([0.125, 1.875, 2.0, 5.0, 9.875, 10.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        """Time passes; the supervisor does not sleep past a deadline."""
        until = self.world.now + seconds
        while self.world.now < until and not self.supervisor.is_over:
            wait = max(self.supervisor.time_left(), TICK)
            self.world.now = min(until, self.world.now + wait)
            self._look()
        self.world.now = until

    # -- what must be so -------------------------------------------------------

    @invariant()
    def reacts(self) -> None:
        """The supervisor has seen all, and has done what is due, and no more."""
        self._look()

    def _look(self) -> None:
        if not hasattr(self, "world"):
            return
        limited = self.limit_at is not None and self.world.now >= self.limit_at
        if limited and self._undecided():
            self._stop(StopRequest("timeout", "because of timeout"))
        before = len(self.world.signals)
        was_over = self.supervisor.is_over
        for _ in range(3):  # a signal makes a runner end, which is the next event
            if not self.supervisor.is_over:
                self.supervisor.step(wait=0.0)
        if was_over:
            assert len(self.world.signals) == before
        else:
            self._check_signals(self.world.signals[before:])
        assert self.supervisor.is_over or self._alive()

    def _undecided(self) -> bool:
        """Whether the time limit still matters."""
        decided = self.first_stop is not None or self.last_word is not None
        return not decided and not self.supervisor.is_over

    def _check_signals(self, fresh: list[tuple[float, int]]) -> None:
        told = [at for at, signum in self.world.signals if signum == signal.SIGTERM]
        kills = [at for at, signum in self.world.signals if signum == signal.SIGKILL]
        assert len(told) <= 1
        if told:
            assert self.first_stop is not None
        due = min(self.may_kill_at, default=float("inf"))
        for at, signum in fresh:
            assert signum != signal.SIGKILL or at >= due
        if self._alive() and not self.supervisor.is_over:
            assert bool(kills) == (self.world.now >= due)
            assert bool(told) == (self.first_stop is not None)

    def teardown(self) -> None:
        """However the story went: one verdict, in time, true, with nothing left."""
        if not hasattr(self, "world"):
            return
        try:
            self._end()
        finally:
            self.world.exit(0)
            self.watching.close()
        assert len(list(Path("/dev/fd").iterdir())) == self.descriptors

    def _end(self) -> None:
        if not self.supervisor.is_over:
            self.is_stopped("shutdown", kill=False)
            self._look()
        ends_by = self.world.now + BOUND
        while not self.supervisor.is_over:
            assert self.world.now <= ends_by
            self.world.now += min(max(self.supervisor.time_left(), TICK), BOUND)
            self._look()
        self.watching.close()
        report = self.supervisor.report()
        self._check_report(judge(report), abandoned=report.abandoned)
        assert report.abandoned == self._alive()

    def _check_report(self, verdict: Outcome, *, abandoned: bool) -> None:
        if abandoned:
            kills = [t for t, signum in self.world.signals if signum == signal.SIGKILL]
            assert (
                len(kills) >= GRACE_PERIODS.abandon_after / GRACE_PERIODS.kill_interval
            )
            assert self.world.now - kills[0] >= GRACE_PERIODS.abandon_after
        assert self.ear.messages == self.said
        assert sum(line.count("[\\xff]") for line in self.ear.lines) == self.written
        word = self.last_word
        expected: tuple[str, str]
        limited = self.first_stop is not None and self.first_stop.kind == "limit"
        if word is not None and word.ending == "finished" and not limited:
            expected = ("finished", "FINISHED")
        elif self.first_stop is not None:
            expected = FATES[self.first_stop.kind]
            assert self.first_stop.reason in verdict.reason
        else:
            expected = ("failed", "FAILED")
        assert (verdict.fate, verdict.mlflow) == expected
        assert bool(verdict.reason) == (verdict.fate != "finished")


@pytest.fixture(autouse=True, scope="module")
def _collect_garbage() -> None:
    """What tests before this one left open is not ours to count."""
    gc.collect()


TestSupervision = Supervision.TestCase
TestSupervision.settings = settings(
    max_examples=80,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
