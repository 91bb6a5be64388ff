"""What of many messages together is too much, though each of them is one of a job's."""

from __future__ import annotations

import contextlib
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from dioptra_worker.protocol.messages import OutputFile
from dioptra_worker.supervision.channel import runner_output
from dioptra_worker.supervision.channel.message_limits import (
    MAX_FILE_TEXT,
    MessageChecks,
    NotBelieved,
)
from dioptra_worker.supervision.channel.runner_output import RunnerOutput


def test_paths_of_output_files() -> None:
    """All are kept to the job's end, so they are limited together."""
    checks, each = MessageChecks(), 4000

    def tell(number: int) -> None:
        path = f"{number:07}".ljust(each - 1, "x")
        checks.checked(OutputFile(artifact="a", path=path, size=1, sha256="0" * 64))

    for number in range(MAX_FILE_TEXT // each):
        tell(number)
    with pytest.raises(NotBelieved):
        tell(0)


@pytest.mark.parametrize("line", [b"\n", b"x\n", b"1 \n"])
def test_short_lines(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a flood no more is read than can be kept; empty lines are not kept at all."""
    monkeypatch.setattr(runner_output, "MAX_COLLECTED", 1000)
    listener: Any = SimpleNamespace(refused=lambda _: None, line=lambda *_: None)
    output = RunnerOutput(listener)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        most = 0
        for _ in range(200):
            with contextlib.suppress(BlockingIOError):
                theirs.send(line * 1000)
            assert output.read_messages(ours)
            most = max(most, len(output._collected))
    assert most <= (0 if line == b"\n" else 20_000)
    output.pass_on()
    assert not output.is_holding
