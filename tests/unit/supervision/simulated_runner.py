"""Runners that behave as they are told, and a fork server that hands them out.

Their sockets and pipes are real, and each has a thread of its own; no process is made.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dioptra_worker.protocol.codec import decode, encode
from dioptra_worker.protocol.messages import (
    EXIT_DISCONNECTED,
    ArtifactStored,
    Ending,
    Log,
    Message,
    PlanTaken,
    RunnerResult,
    RunStarted,
    Start,
)
from dioptra_worker.supervision.forkserver.runner_process import (
    ProcessExit,
    ProcessHandle,
    RunnerPipes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.common.processes.job_user import JobUser

RUN = "a" * 32
End = Literal["finished", "failed", "stopped", "exits", "crashes", "hangs up", "waits"]


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """How a runner behaves.

    Attributes:
        has_run: Whether it gets as far as an MLflow run.
        end: How it ends once it has its plan, unless it is stopped before.
        on_sigterm: What it says before it ends by SIGTERM; None is deaf to that.
        closes_run: Whether it closes its MLflow run before its last word.
        code: What it exits with after that.
        artifacts: The output artifacts that it stores before it ends.
    """

    has_run: bool
    end: End
    on_sigterm: Ending | Literal["nothing"] | None
    closes_run: bool
    code: int = 0
    artifacts: tuple[str, ...] = ()


class Runner:
    """One runner.

    Attributes:
        process: What the fork server tells of it.
        pipes: The daemon's ends of what connects it.
        was_told: Whether it has been told its job.
        start: How it was told.
        has_run: Whether it has said that it has an MLflow run.
        word: Its last word.
        run_closed: Whether that says that the run is closed.
    """

    def __init__(
        self, conduct: Conduct, pid: int, at: Callable[[str], None], run: str = RUN
    ) -> None:
        """Begin.

        Args:
            conduct: How it behaves.
            pid: Its process id.
            at: Told when it comes to ``begun``, ``run``, ``planned``, ``working``,
                ``stored`` where it has artifacts, and ``ending``.
            run: Its MLflow run.
        """
        self._run = run
        self.process = ProcessHandle(pid)
        self.word: Ending | None = None
        self.run_closed = False
        self.was_told = False
        self.start: Start | None = None
        self.has_run = False
        self._conduct = conduct
        self._at = at
        self._lock = threading.Lock()
        ours, self._control = socket.socketpair()
        out, out_there = os.pipe()
        err, err_there = os.pipe()
        self._pipes = [out_there, err_there]
        self.pipes = RunnerPipes(control=ours, out=out, err=err)
        threading.Thread(target=self._live, name=f"runner-{pid}", daemon=True).start()

    def signal(self, signum: int) -> None:
        """It is signalled."""
        how = self._conduct.on_sigterm
        if signum == signal.SIGKILL:
            self._exit(-signum)
        elif how is not None:
            if how != "nothing":
                self._last_word(how)
            self._exit(-signum if how == "nothing" else 0)

    def _live(self) -> None:
        lines = self._control.makefile("rb")
        with lines, contextlib.suppress(OSError, ValueError):
            if told := lines.readline():
                self.was_told = True
                start = decode(told)
                assert isinstance(start, Start)
                self.start = start
                self._work(lines.readline)
        self._exit(self._conduct.code)

    def _work(self, read: Callable[[], bytes]) -> None:
        conduct = self._conduct
        self._at("begun")
        if conduct.has_run:
            with self._lock:
                self.has_run = self._say(
                    RunStarted(run_id=self._run, artifact_uri=f"s3://b/{self._run}")
                )
            self._at("run")
        if not read():
            return
        self._at("planned")
        with self._lock:
            self._say(PlanTaken())
        self._at("working")
        with self._lock:
            self._say(Log(severity="INFO", logger="job", message="at work"))
            for name in conduct.artifacts:
                self._say(
                    ArtifactStored(
                        name=name,
                        uri=f"s3://b/{self._run}/{name}",
                        plugin_snapshot_id=1,
                        task_id=1,
                    )
                )
        if conduct.artifacts:
            self._at("stored")
        match conduct.end:
            case "waits":
                read()
            case "exits":
                self._exit(3)
            case "crashes":
                self._exit(-signal.SIGSEGV)
            case "hangs up":
                self._control.shutdown(socket.SHUT_RDWR)
                self._exit(EXIT_DISCONNECTED)
            case "finished" | "failed" | "stopped":
                self._at("ending")
                self._last_word(conduct.end)

    def _last_word(self, ending: Ending) -> None:
        with self._lock:
            if self.word is None:
                closed = self._conduct.closes_run and self.has_run
                reason = "" if ending == "finished" else "it broke"
                word = RunnerResult(ending=ending, reason=reason, run_closed=closed)
                if self._say(word):
                    self.word, self.run_closed = ending, closed

    def _say(self, message: Message) -> bool:
        """Say something, unless it has ended or is hung up on; whether it did."""
        if not self.process.ended.is_set():
            with contextlib.suppress(OSError):
                self._control.sendall(encode(message))
                return True
        return False

    def _exit(self, code: int) -> None:
        with self._lock:
            if self.process.ended.is_set():
                return
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)  # wakes who reads
            self._control.close()
            for descriptor in self._pipes:
                os.close(descriptor)
            self.process.set_exit(ProcessExit(code=code, peak=None))


@dataclass
class Forkserver:
    """Hands out one kind of runner, as the launcher does.

    Attributes:
        conduct: How they behave, or why none can be had.
        at: Told of the moments of their lives.
        mlflow_away: Whether MLflow runs cannot be closed.
        runners: Those that it has handed out.
        closed: The MLflow runs that it was to close, with their status.
        run: The MLflow run of the next runner.
        job_user: Who they are; None is our own user.
        learned: A second one: none.
    """

    conduct: Conduct | Exception
    at: Callable[[str], None]
    mlflow_away: bool = False
    runners: list[Runner] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    run: str = RUN
    job_user: JobUser | None = None
    learned: None = None

    def start_runner(self) -> tuple[ProcessHandle, RunnerPipes]:
        """A runner."""
        if isinstance(self.conduct, Exception):
            raise self.conduct
        number = 4711 + len(self.runners)
        runner = Runner(self.conduct, number, self.at, self.run)
        if self.job_user is not None:
            runner.process.user = self.job_user.uid
        self.runners.append(runner)
        return runner.process, runner.pipes

    def signal(self, process: ProcessHandle, signum: int) -> None:
        """Signal a runner."""
        (runner,) = (it for it in self.runners if it.process is process)
        runner.signal(signum)

    def close_run(self, run_id: str, status: str, *, timeout: float) -> bool:
        """Close an MLflow run."""
        assert timeout > 0
        self.closed.append((run_id, status))
        return not self.mlflow_away

    def close_begun(self, token: str, status: str, *, timeout: float) -> bool:
        """Close what a start has begun."""
        return self.close_run(token, status, timeout=timeout)
