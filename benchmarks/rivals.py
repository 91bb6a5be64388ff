"""The workers that are measured: their real executables, as processes."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import tree
from benchmarks.errors import BenchmarkError
from dioptra_worker.tools.local.environment import inherited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

OURS = "ours"
PEER = "peer"

_SCRIPT = "dioptra-worker-v1"
_LISTENS = re.compile(r"\blisten(?:s|ing) on\b", re.IGNORECASE)
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_LAST_LINES = 12
_RESULTS_TTL = "7200"  # longer than any scenario takes


@dataclass(frozen=True)
class Rival:
    """A worker that can be installed: ours or the peer's.

    Attributes:
        name: ``ours`` or ``peer``.
        python: The interpreter of the environment that it is installed in.
    """

    name: str
    python: Path

    @property
    def program(self) -> Path:
        """Its executable."""
        return self.python.with_name(_SCRIPT)

    def command(self, redis: str, queue: str, *options: str) -> list[str]:
        """The command line that the platform's containers use, for both alike."""
        line = [*self._program(), "--url", redis, "--results-ttl", _RESULTS_TTL]
        return [*line, *options, queue]

    def check(self) -> None:
        """Make sure that it is there.

        Raises:
            BenchmarkError: It is not.
        """
        if not self.program.exists():
            raise BenchmarkError(
                f"There is no {_SCRIPT} beside {self.python}: install the package of"
                f" {self.name!r} into that environment, or leave it out with --peer"
                " none."
            )

    def _program(self) -> list[str]:
        # Its first line names the interpreter by where the environment was made.
        return [str(self.python), str(self.program)]

    def options(self) -> str:
        """The help of its command, to see what it can do."""
        answer = subprocess.run(
            [*self._program(), "--help"], capture_output=True, text=True, check=False
        )
        return answer.stdout


class Worker:
    """A worker that runs.

    Attributes:
        rival: What it is.
        began: When its process was started (`time.time`).
    """

    def __init__(
        self, rival: Rival, process: subprocess.Popen[bytes], log: Path, began: float
    ) -> None:
        self.rival = rival
        self.began = began
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its first process."""
        return self._process.pid

    def said(self) -> str:
        """All that it has written."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def check(self) -> None:
        """Make sure that it still runs.

        Raises:
            BenchmarkError: It does not; the message ends with what it said last.
        """
        code = self._process.poll()
        if code is None:
            return
        raise BenchmarkError(
            f"The worker {self.rival.name!r} ended with exit code {code}; it said"
            f" last:\n{self.last_words()}"
        )

    def last_words(self) -> str:
        """The last lines that it has written."""
        return "\n".join(self.said().splitlines()[-_LAST_LINES:])

    def wait_ready(self) -> None:
        """Wait until it listens.

        Raises:
            BenchmarkError: It does not.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not _LISTENS.search(self.said()):
            self.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(
                    f"The worker {self.rival.name!r} does not listen after"
                    f" {_START_SECONDS:.0f} s; it said last:\n{self.last_words()}"
                )
            time.sleep(0.05)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep all of its processes from running until the end of the block."""
        stopped: set[int] = set()
        try:
            # What a process begins before it is stopped is found in the next look.
            while begun := tree.processes(self.pid) - stopped:
                tree.signal_each(begun, signal.SIGSTOP)
                stopped |= begun
            yield
        finally:
            tree.signal_each(stopped, signal.SIGCONT)

    def stop(self, patience: float) -> None:
        """Ask it to end; kill what is left of it after some seconds."""
        below = tree.processes(self.pid)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        tree.end(below, patience)


@contextmanager
def running(
    rival: Rival,
    environment: Mapping[str, str],
    queue: str,
    folder: Path,
    options: Sequence[str] = (),
    *,
    ready: bool = True,
    patience: float = _STOP_SECONDS,
) -> Iterator[Worker]:
    """Run a worker until the end of the block.

    Args:
        rival: Which.
        environment: What the stack says that a worker needs.
        queue: The queue to listen on.
        folder: Where its log and its jobs' folders go; made if it is not there.
        options: More of the command line.
        ready: Wait until it listens.
        patience: Seconds that it has to end before it is killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "worker.log"
    began = time.time()
    with log.open("wb") as output:
        process = subprocess.Popen(
            rival.command(environment["RQ_REDIS_URI"], queue, *options),
            env={
                **inherited(),
                **environment,
                "DIOPTRA_WORKER_WORK_DIR": str(folder / "jobs"),
            },
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with ExitStack() as stack:
        worker = Worker(rival, process, log, began)
        stack.callback(worker.stop, patience)
        if ready:
            worker.wait_ready()
        yield worker
