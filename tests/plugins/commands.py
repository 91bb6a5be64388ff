"""Runs many commands; see `command_host`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.plugins.until import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True)
class Ended:
    """What came of a command.

    Attributes:
        code: Its exit code.
        out: What it printed.
        err: What it printed as error.
    """

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.out + self.err


@dataclass
class Command:
    """A command that runs.

    Attributes:
        pid: Its process, which leads a session of its own.
        folder: Everything that it may leave something in.
    """

    pid: int
    folder: Path
    _host: CommandHost = field(repr=False)

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self._read("out") + self._read("err")

    @property
    def has_ended(self) -> bool:
        """Whether it has, and waits for somebody to hear of it."""
        status = Path(f"/proc/{self.pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "Z"

    def interrupt(self) -> None:
        """Press Ctrl-C, as a terminal does it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGINT)

    def end(self) -> Ended:
        """Wait for its end."""
        code = self._host.ask(wait=self.pid, timeout=PATIENCE)
        return Ended(code, self._read("out"), self._read("err"))

    def left(self) -> tuple[list[str], list[str]]:
        """The processes and the files that it has left, once no process ends any more.

        Folders that are kept from run to run are nothing that is left, as long as they
        are empty.
        """
        with contextlib.suppress(AssertionError):
            until(lambda: not _processes(self), seconds=5)
        files = [
            str(path.relative_to(self.folder))
            for name in ("tmp", "cwd")
            for path in sorted((self.folder / name).rglob("*"))
            if path.is_symlink() or not path.is_dir() or _is_of_a_job(path)
        ]
        return _processes(self), files

    def _read(self, name: str) -> str:
        file = self.folder / name
        return file.read_text("utf-8", "replace") if file.exists() else ""


class CommandHost:
    """The program that forks for each command."""

    def __init__(self, sock: socket.socket) -> None:
        self._talk = sock.makefile("rw", encoding="utf-8")

    def start(
        self,
        folder: Path,
        words: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        stdout: str = "",
    ) -> Command:
        """Start a command.

        Args:
            folder: Gets folders for all that it may write: ``home``, ``tmp``, ``cwd``.
            words: The command line.
            environment: What it sees besides its home.
            stdout: What its standard output is, unless a file.
        """
        for name in ("home", "tmp", "cwd"):
            (folder / name).mkdir(exist_ok=True)
        pid = self.ask(
            words=list(words),
            environment={
                "PATH": os.environ["PATH"],
                "HOME": str(folder / "home"),
                "TMPDIR": str(folder / "tmp"),
                "DIOPTRA_WORKER_CACHE_DIR": str(folder / "home/cache"),
                **(environment or {}),
            },
            cwd=str(folder / "cwd"),
            stdout=stdout or str(folder / "out"),
            stderr=str(folder / "err"),
        )
        return Command(pid, folder, self)

    def run(self, folder: Path, words: Sequence[str], **options: Any) -> Ended:
        """Run a command to its end; see `start`."""
        return self.start(folder, words, **options).end()

    def ask(self, **request: Any) -> int:
        """Say something, and hear a number."""
        print(json.dumps(request), file=self._talk, flush=True)
        return int(self._talk.readline())


@contextlib.contextmanager
def command_host(environment: Mapping[str, str] | None = None) -> Iterator[CommandHost]:
    """Start the program; it ends with the block."""
    ours, theirs = socket.socketpair()
    with theirs:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.plugins.command_host", str(theirs.fileno())],
            cwd=Path(__file__).parents[2],
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    with ours:
        host = CommandHost(ours)
        try:
            yield host
        finally:
            host._talk.close()
            ours.shutdown(socket.SHUT_RDWR)
            program.wait(PATIENCE)


def wait_for_words(command: Command, words: str) -> None:
    """Wait until a command has printed something."""
    until(lambda: words in command.said, says=lambda: command.said)


def took(command: Command) -> tuple[Ended, float]:
    """How a command ends, and in how many seconds from now."""
    began = time.monotonic()
    return command.end(), time.monotonic() - began


def _processes(of: Command) -> list[str]:
    """The processes of a command that have not ended, also those without a terminal."""
    place = os.fsencode(of.folder)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (process / "stat").read_text().rpartition(")")[2].split()
            is_its = int(status[3]) == of.pid
            is_its |= place in (process / "environ").read_bytes()
            if is_its and status[0] != "Z":
                words = (process / "cmdline").read_text().replace("\0", " ")
                found.append(f"{process.name} {words}")
    return found


def _is_of_a_job(folder: Path) -> bool:
    return folder.name.startswith(("job-", "dioptra-forkserver-", "dioptra-demo-"))
