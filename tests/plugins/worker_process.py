"""Starts the real ``dioptra-worker-v1`` as a process and watches it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.plugins.plain_install import plain_install
from tests.plugins.until import until

from dioptra_worker import settings as settings_module
from dioptra_worker.common.files.held_folder import is_held
from dioptra_worker.common.files.workspace import temporary_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROGRAM = "dioptra-worker-v1"

TIMES = {"sweep_interval": 2.0}
"""Seconds that workers wait in tests where they would wait for longer; see `Times`."""


def times(**more: float) -> dict[str, str]:
    """A setting that shortens what a worker waits for; with ``--fault-report`` none."""
    return {settings_module.TIMES: json.dumps({**TIMES, **more})} if TIMES else {}


class WorkerProcess:
    """A running worker.

    Attributes:
        process: The daemon's process.
        work_dir: Where it puts its jobs' folders.
    """

    def __init__(self, process: subprocess.Popen[str], work_dir: Path) -> None:
        self.process = process
        self.work_dir = work_dir
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """What the worker has written so far."""
        return "\n".join(self._lines)

    def take_lines(self) -> list[str]:
        """The lines that came since the last time; they are kept no longer."""
        taken = self._lines[:]
        del self._lines[: len(taken)]  # others may have come meanwhile
        return taken

    def wait_for(self, text: str, *, seconds: float = 30.0) -> None:
        """Wait until the worker has written a text."""
        until(
            lambda: text in self.log,
            seconds=seconds,
            says=lambda: f"{text!r} never came:\n{self.log}",
        )

    def send(self, signum: int = signal.SIGTERM) -> None:
        """Signal the daemon."""
        self.process.send_signal(signum)

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for the daemon to end; its exit code."""
        code = self.process.wait(seconds)
        self._reader.join(5.0)
        return code

    def children(self) -> set[int]:
        """The pids of the processes that the daemon has started itself."""
        return _children(self.process.pid)

    def descendants(self) -> set[int]:
        """The pids of all processes below the daemon."""
        return descendants_of(self.process.pid)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.append(line.rstrip("\n"))


@contextmanager
def worker(
    environment: Mapping[str, str],
    folder: Path,
    *arguments: str,
    ready: bool = True,
    settings: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    full: bool = False,
    programs: Path | None = None,
) -> Iterator[WorkerProcess]:
    """Run ``dioptra-worker-v1`` until the end of the block.

    Args:
        environment: The stack's, for the worker.
        folder: A folder for the worker's own files.
        arguments: The command line.
        ready: Wait until it listens.
        settings: More environment variables.
        prefix: A command that runs it, such as ``unshare``.
        full: Give its jobs all that the tests have installed, such as the whole MLflow
            and scikit-learn, not only what the package requires.
        programs: The folder of its programs, if in another environment than these.
    """
    if programs is None:
        programs = Path(sys.executable).parent if full else plain_install()
    work_dir = folder / "jobs"
    process = subprocess.Popen(
        [*prefix, str(programs / PROGRAM), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DIOPTRA_WORKER_WORK_DIR": str(work_dir),
            "DIOPTRA_RQ_WORKER_LOG_LEVEL": "DEBUG",
            **times(),
            **environment,
            **(settings or {}),
        },
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    running = WorkerProcess(process, work_dir)
    try:
        if ready:
            running.wait_for("listens on")
        yield running
    finally:
        below = running.descendants()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _end(below)
        running.wait()
        assert process.stderr is not None
        process.stderr.close()
        _remove_temporary(running.work_dir)


def _remove_temporary(work_dir: Path) -> None:
    """Remove what jobs of workers that were killed have beside their folders.

    The folders themselves stay: that the next worker removes them is what tests see.
    """
    for folder in work_dir.glob("job-*"):
        if not is_held(folder):
            shutil.rmtree(temporary_of(folder), ignore_errors=True)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pids: set[int], *, seconds: float = 15.0) -> set[int]:
    """Wait until processes have ended; those that have not."""
    deadline = time.monotonic() + seconds
    while left := {pid for pid in pids if alive(pid)}:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.05)
    return set()


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    with suppress(OSError):  # it, or one of its threads, may end meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                children = (task / "children").read_text()
                found |= {int(child) for child in children.split()}
    return found


def descendants_of(pid: int) -> set[int]:
    """The pids of all processes below one."""
    found = _children(pid)
    for child in list(found):
        found |= descendants_of(child)
    return found


def _end(pids: set[int]) -> None:
    """End what is left of a worker; only processes that it started are meant."""
    for pid in wait_until_gone(pids, seconds=15.0):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
