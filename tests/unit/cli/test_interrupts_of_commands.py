"""Ctrl-C while each command waits for something, and what is left of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.plugins.commands import CommandHost, command_host, took
from tests.plugins.example_job import ExampleJob
from tests.plugins.until import until
from tests.unit.api.scripted import Answer
from tests.unit.cli.test_every_command import ASKING, AWAY, FOLDER
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.processes import process_identity
from dioptra_worker.tools.capsule.making import make
from dioptra_worker.tools.local.config import SERVICES, StackConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.commands import Command
    from tests.unit.api.scripted import Request

pytestmark = pytest.mark.process

LIMIT = 25.0
"""Seconds on a busy machine, half a second on another; who waits does so for 60."""


@pytest.fixture(scope="module")
def host() -> Iterator[CommandHost]:
    """Runs all commands of this file."""
    with command_host() as host:
        yield host


@dataclass
class SilentServer:
    """Takes connections and says nothing.

    Attributes:
        place: Its address, without a scheme.
        reached: Set once there is a connection.
    """

    place: str = ""
    reached: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[SilentServer]:
        """Serve until the end of the block."""
        kept = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.place = f"127.0.0.1:{server.getsockname()[1]}"

            def accept() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        kept.append(server.accept())
                        self.reached.set()

            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join()
                for sock, _ in kept:
                    sock.close()

    @property
    def environment(self) -> dict[str, str]:
        """That of a command whose services are all this one."""
        return {k: v.replace("127.0.0.1:9", self.place) for k, v in AWAY.items()}


def _ends_by_it(command: Command, *, says: str = "\ninterrupted\n") -> str:
    """It ends soon, with a word and nothing after it, and leaves nothing."""
    command.interrupt()
    ended, seconds = took(command)
    assert ended.code == ExitCode.INTERRUPTED, ended
    assert "Traceback" not in ended.said
    assert ended.err.endswith(says), ended
    assert seconds < LIMIT
    processes, files = command.left()
    assert (processes, files) == ([], [])
    return ended.said


@pytest.mark.parametrize(
    "words",
    [
        *(f"{command} {words}" for command, words in ASKING.items()),
        *("doctor", "jobs serve --port 0", "jobs logs 7 --follow", "jobs wait 7"),
    ],
    ids=lambda words: words.partition("0000")[0].strip(),
)
def test_while_a_service_is_silent(
    tmp_path: Path, host: CommandHost, words: str
) -> None:
    """No command waits for an answer that nobody needs any more."""
    line = words.replace("FOLDER", FOLDER).split()
    with SilentServer().running() as server:
        command = host.start(tmp_path, line, server.environment)
        until(server.reached.is_set, says=lambda: command.said)
        _ends_by_it(command)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        *itertools.product(["jobs list", "jobs show 1"], [1, 2, 3, 5]),
        *itertools.product(["jobs download 2"], [2, 3, 4]),
        *itertools.product(["jobs logs -f 1", "jobs wait 1"], [1, 3]),
    ],
)
def test_at_each_request(
    tmp_path: Path, host: CommandHost, words: str, count: int
) -> None:
    """Also one in the middle of what a command does, in whatever thread."""
    dioptra = Dioptra()
    for number in range(1, 9):
        ended = () if number == 1 else (("finished", 2),)
        dioptra.put(number, ("queued", 0), ("started", 1), *ended)
    dioptra.put_artifact(11, "made.txt", Answer(body=b"x" * 1000))
    reached, over = threading.Event(), threading.Event()
    asked = []
    answer = dioptra.answer

    def held(request: Request) -> Answer:
        asked.append(request)
        if len(asked) >= count:
            reached.set()
            over.wait()
        return answer(request)

    dioptra.answer = held  # type: ignore[method-assign]
    with dioptra.running() as (_, server):
        account = AWAY | {"DIOPTRA_API": server.url}
        command = host.start(tmp_path, words.split(), account)
        try:
            until(lambda: reached.is_set() or command.has_ended)
            if reached.is_set():
                _ends_by_it(command)
            else:  # it asks for less
                assert count > 2
                command.end()
        finally:
            over.set()


@pytest.mark.parametrize("words", ["demo", "local up --dir stack"])
def test_while_pip_installs(tmp_path: Path, host: CommandHost, words: str) -> None:
    """What installs the REST API is ended, and what it has made so far is removed."""
    with SilentServer().running() as server:
        index = {"PIP_INDEX_URL": f"http://{server.place}/", "PIP_RETRIES": "9"}
        command = host.start(tmp_path, words.split(), index)
        until(server.reached.is_set, says=lambda: command.said)
        _ends_by_it(command, says="")
    assert "✓" not in command.said
    assert not list((tmp_path / "home/cache").rglob("venv"))


UV = """#!/bin/sh
for folder; do :; done
mkdir -p "$folder/bin"
echo began > "$HOME/installing"
sleep 60 & wait
"""


def test_while_uv_installs(tmp_path: Path, host: CommandHost) -> None:
    """A capsule's environment that is not whole is removed with what makes it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/uv").write_text(UV)
    (tmp_path / "bin/uv").chmod(0o755)
    make(ExampleJob(), tmp_path / "42.crate.zip")
    began = tmp_path / "home/installing"
    with SilentServer().running() as server:
        environment = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "UV_DEFAULT_INDEX": f"http://{server.place}/",  # of one that is installed
        }
        words = ["capsule", "replay", str(tmp_path / "42.crate.zip")]
        command = host.start(tmp_path, words, environment)
        until(
            lambda: began.exists() or server.reached.is_set(),
            says=lambda: command.said,
        )
        _ends_by_it(command)
    left = list((tmp_path / "home/cache/environments").iterdir())
    # The lock stays: to remove it would let two in.
    assert [path.suffix for path in left] == [".lock"]


INSISTING = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("asked to end", flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_while_a_service_ends(tmp_path: Path, host: CommandHost) -> None:
    """`local down` waits for none; the same command again goes on with it."""
    folder = tmp_path / "cwd/stack"
    folder.mkdir(parents=True, mode=0o700)
    config = StackConfig(
        directory=folder,
        ports=dict.fromkeys(SERVICES, 1),
        peer_python=tmp_path / "python",
    )
    config.save()
    line = ["local", "down", "--dir", str(folder)]
    with subprocess.Popen(
        [sys.executable, "-c", INSISTING], stdout=subprocess.PIPE
    ) as one:
        try:
            assert one.stdout is not None
            one.stdout.readline()
            leader = process_identity.identify(one.pid)
            assert leader is not None
            record = {"pid": leader.pid, "birth": leader.start_time}
            (folder / "valkey.pid.json").write_text(json.dumps(record))
            command = host.start(tmp_path, [*line, "--keep"])
            one.stdout.readline()
            command.interrupt()
            ended, seconds = took(command)
        finally:
            one.kill()
    assert (ended.code, ended.said) == (ExitCode.INTERRUPTED, "\ninterrupted\n")
    assert seconds < LIMIT
    assert host.run(tmp_path, line).code == ExitCode.OK
    assert not folder.exists()
