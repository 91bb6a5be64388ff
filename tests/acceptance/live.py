"""A command that a test listens to, and types to, while it runs."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PATIENCE = 90.0


class Live:
    """A command in a terminal of its own, or with a pipe."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        tty: bool = False,
    ) -> None:
        ours, theirs = pty.openpty() if tty else os.pipe()
        self._fd = ours
        # Where the tests run in the background, Ctrl-C would be ignored from the start.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "TERM": "dumb"},
            stdin=theirs if tty else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        signal.signal(signal.SIGINT, before)
        os.close(theirs)
        os.set_blocking(ours, False)
        self.said = ""

    def type(self, text: str) -> None:
        """Type into its terminal."""
        os.write(self._fd, text.encode())

    def wait_for(self, words: str, times: int = 1, *, after: int = 0) -> None:
        """Wait until it has said something so many times, behind a place."""
        self._until(lambda: self.said[after:].count(words) >= times, words)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Wait for its end; its exit code."""
        self._until(lambda: self.process.poll() is not None, "its end")
        self._read()
        return self.process.wait()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._fd)

    def _until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"no {what!r} in:\n{self.said}"
            self._read()
            time.sleep(0.02)

    def _read(self) -> None:
        try:
            while data := os.read(self._fd, 1 << 16):
                self.said += data.decode().replace("\r\n", "\n")
        except (BlockingIOError, OSError):
            return
