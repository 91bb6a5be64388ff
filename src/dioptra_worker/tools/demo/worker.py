"""The real daemon, as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.tools.demo.errors import DemoFailed
from dioptra_worker.tools.local.environment import inherited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATIENCE = 15.0
_LAST_LINES = 15


class Worker:
    """A daemon that was started.

    Attributes:
        command: What was started.
        log: The file that it logs to.
        kept: Whether it is left running at the end.
    """

    def __init__(
        self, command: list[str], log: Path, process: subprocess.Popen[bytes]
    ) -> None:
        self.command = command
        self.log = log
        self.kept = False
        self._process = process

    @property
    def pid(self) -> int:
        """The daemon's process."""
        return self._process.pid

    def check(self) -> None:
        """Make sure that it still runs.

        Raises:
            DemoFailed: It does not; the message ends with what it said last.
        """
        code = self._process.poll()
        if code is None:
            return
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = "\n".join(lines[-_LAST_LINES:])
        raise DemoFailed(f"the worker ended with exit code {code}; it said:\n{said}")

    def stop(self) -> None:
        """End it as an operator does; kill it, with its job, if that does not help."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()


@contextmanager
def run_worker(
    environment: Mapping[str, str], queue: str, folder: Path
) -> Iterator[Worker]:
    """Run the daemon until the end of the block, or longer if it is to be kept.

    Args:
        environment: What the local stack says that a worker needs.
        queue: The queue to listen on.
        folder: Where its log and its jobs' folders go.
    """
    command = [*_executable(), queue]
    log = folder / "worker.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env={
                **inherited(),
                "DIOPTRA_WORKER_WORK_DIR": str(folder / "jobs"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # Ctrl-C is for the demo, which then ends the worker properly.
            start_new_session=True,
        )
    worker = Worker(command, log, process)
    try:
        yield worker
    finally:
        if not worker.kept:
            worker.stop()


def _executable() -> list[str]:
    """The console script beside this interpreter, or the module that it calls."""
    script = Path(sys.executable).with_name("dioptra-worker-v1")
    if script.exists():
        return [str(script)]
    return [sys.executable, "-m", "dioptra_worker.cli.start"]
