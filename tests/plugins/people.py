"""Calls ``dioptra-worker`` as a person does."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.plugins.commands import command_host
from tests.plugins.until import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.plugins.commands import CommandHost

PROGRAM = Path(sys.executable).with_name("dioptra-worker")
_SECONDS = 100.0


class Person:
    """Somebody with a shell, an environment and a home folder."""

    def __init__(self, environment: Mapping[str, str], home: Path) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DIOPTRA_WORKER_CACHE_DIR": str(home / "cache"),
            **environment,
        }

    def call(
        self, *words: object, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Call ``dioptra-worker`` and wait for its end.

        It is a process of its own, forked from one that has imported the commands: what
        a person waits for is mostly that, and tests make hundreds of calls.
        """
        with tempfile.TemporaryDirectory(prefix="call-") as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            pid = _host().ask(
                words=[*map(str, words)],
                environment=self.environment | variables,
                cwd=str(Path.cwd()),
                stdout=str(out),
                stderr=str(err),
            )
            code = _host().ask(wait=pid, timeout=_SECONDS)
            return subprocess.CompletedProcess(
                [PROGRAM, *map(str, words)], code, out.read_text(), err.read_text()
            )

    def told(self, *words: object) -> str:
        """What a call prints that goes well.

        Raises:
            AssertionError: It does not.
        """
        answer = self.call(*words)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    def json(self, *words: object) -> Any:
        """The JSON that a call prints."""
        return json.loads(self.told(*words))

    @contextmanager
    def calling(self, *words: object) -> Iterator[Call]:
        """Call ``dioptra-worker`` and look at what it prints meanwhile."""
        process = subprocess.Popen(
            [PROGRAM, *map(str, words)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield Call(process)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(_SECONDS)


@functools.cache
def _host() -> CommandHost:
    """The one of this test process; it ends with it."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(command_host())


class Call:
    """A command that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return "".join(self._lines)

    def wait_for(self, text: str, *, seconds: float = 60.0) -> None:
        """Wait until it has printed a text."""
        until(
            lambda: text in self.text,
            seconds=seconds,
            says=lambda: f"{text!r} never came:\n{self.text}",
        )

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for its end; its exit code."""
        code = self.process.wait(seconds)
        self._reader.join(5.0)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)
        self.process.stdout.close()
