"""Processes of a job beside its runner: who is heard, in which order, and answered."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.errors import RunnerError
from dioptra_worker.protocol.codec import encode, encode_at
from dioptra_worker.protocol.messages import (
    BatchClaimReply,
    Log,
    Metric,
    Output,
    RunnerMessage,
    RunnerResult,
    SessionReply,
    SessionRequest,
)
from dioptra_worker.sdk.worker.child_link import ChildLink
from dioptra_worker.supervision.channel.job_processes import (
    JobProcesses,
    request_id,
)
from dioptra_worker.supervision.channel.runner_output import RunnerOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dioptra_worker.protocol.messages import OutputStream


class Listener:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.messages: list[RunnerMessage] = []
        self.refusals: list[str] = []
        self.lines: list[str] = []

    def message(self, message: RunnerMessage) -> None:
        """Take a message."""
        self.messages.append(message)

    def refused(self, words: str) -> None:
        """Take a refusal."""
        self.refusals.append(words)

    def line(self, stream: OutputStream, text: str) -> None:
        """Take a line."""
        assert stream == "stdout"
        self.lines.append(text)


@contextmanager
def _connected(count: int) -> Iterator[tuple[list[socket.socket], list[socket.socket]]]:
    """So many connections: our ends, which do not block, and the others."""
    pairs = [socket.socketpair() for _ in range(count)]
    for ours, _ in pairs:
        ours.setblocking(False)
    try:
        yield [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
    finally:
        for pair in pairs:
            for sock in pair:
                sock.close()


def _log(text: str) -> Log:
    return Log(severity="INFO", logger="l", message=text)


def test_what_was_said_first_is_first() -> None:
    """Of several processes, in the order of their words, whoever is read first."""
    heard = Listener()
    output = RunnerOutput(heard)
    with _connected(2) as (ours, theirs):
        said = [_log(str(number)) for number in range(6)]
        for number, message in enumerate(said):
            theirs[number % 2].sendall(encode_at(message))
        for number in (1, 0):
            assert output.read_messages(ours[number], number)
        output.pass_on()
    assert heard.messages == said


def test_what_may_come_too_early_waits() -> None:
    """What was said after a look began is passed on after the next look."""
    heard = Listener()
    output = RunnerOutput(heard)
    with _connected(1) as (ours, theirs):
        theirs[0].sendall(encode_at(_log("late")))
        output.read_messages(ours[0])
        output.pass_on(until=1)
        assert output.is_holding
        assert not heard.messages
        theirs[0].sendall(b"9" * 19 + b" " + encode(_log("of the future")))
        output.read_messages(ours[0])
        output.pass_on()
    assert heard.messages == [_log("late"), _log("of the future")]


def test_a_pipe_does_not_overtake() -> None:
    """What was said before a line was read from a pipe comes before that line."""
    heard = Listener()
    output = RunnerOutput(heard)
    with _connected(1) as (ours, theirs):
        reader, writer = os.pipe()
        said = [Output(stream="stdout", text=f"{name}\n") for name in ("a", "c")]
        theirs[0].sendall(encode_at(said[0]))
        os.write(writer, b"b\n")
        assert output.read_pipe(reader, "stdout")
        theirs[0].sendall(encode_at(said[1]))
        output.read_messages(ours[0])
        output.pass_on()
        os.close(writer)
        assert not output.read_pipe(reader, "stdout")
        os.close(reader)
    assert heard.lines == ["a", "b", "c"]
    assert not output.is_holding


def test_lines_of_processes_are_not_mixed() -> None:
    """Halves of lines come together by process; the last half when it hangs up."""
    heard = Listener()
    output = RunnerOutput(heard)
    with _connected(2) as (ours, theirs):
        for part in ("a", "b\nc"):
            for number, sock in enumerate(theirs, 1):
                text = f"{part}{number}"
                sock.sendall(encode_at(Output(stream="stdout", text=text)))
        for sock in theirs:
            sock.close()
        for number, sock in enumerate(ours, 1):
            while output.read_messages(sock, number):
                pass
        output.pass_on()
    assert sorted(heard.lines) == ["a1b", "a2b", "c1", "c2"]


def test_only_the_runner_ends_the_job() -> None:
    """Another process of the job can say nothing about the job itself."""
    heard = Listener()
    output = RunnerOutput(heard)
    with _connected(1) as (ours, theirs):
        end = RunnerResult(ending="finished", reason="", run_closed=True)
        theirs[0].sendall(encode_at(end))
        theirs[0].sendall(encode_at(SessionRequest(request_id=1 << 40, renew=False)))
        theirs[0].sendall(encode_at(SessionRequest(request_id=5, renew=False)))
        output.read_messages(ours[0], 3)
        output.pass_on()
    assert output.result is None
    assert len(heard.refusals) == 2
    assert "can say RunnerResult" in heard.refusals[0]
    assert heard.messages == [SessionRequest(request_id=request_id(3, 5), renew=False)]


@contextmanager
def _serving(
    folder: Path, *, limit: int = 10
) -> Iterator[tuple[str, JobProcesses, Callable[[], None]]]:
    """Take connections in a thread, until told to end it, or the end of the block."""
    processes = JobProcesses(limit=limit)
    address = processes.listen(folder / "worker")
    assert processes.listener is not None
    over = threading.Event()

    def serve() -> None:
        while not over.wait(0.005):
            processes.accept()

    thread = threading.Thread(target=serve)

    def end() -> None:
        over.set()
        thread.join()

    thread.start()
    try:
        yield address, processes, end
    finally:
        end()
        processes.close()


def test_an_answer_goes_to_who_has_asked(tmp_path: Path) -> None:
    """Each connection gets its own answer, and the runner's is no process's."""
    with _serving(tmp_path) as (address, processes, _):
        link = ChildLink(address)
        got: list[str] = []

        def ask() -> None:
            got.append(link.session(renew=False, timeout=10).url)
            got.append(link.set_element_state("e", "started"))

        thread = threading.Thread(target=ask)
        thread.start()
        session = partial(SessionReply, cookies={}, url="u")
        # Connections are numbered, and each question has its own.
        while thread.is_alive() and not got:
            processes.answer(session(request_id=request_id(1, 1)))
        while thread.is_alive() and len(got) < 2:
            processes.answer(
                BatchClaimReply(request_id=request_id(2, 1), outcome="granted")
            )
        thread.join()
        assert got == ["u", "granted"]
        assert not processes.answer(session(request_id=1))
        assert processes.answer(session(request_id=request_id(77, 1)))


def test_who_is_one_too_many_has_a_pipe(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Text is not lost; what is no text is an error of who says it, in time."""
    with _serving(tmp_path, limit=1) as (address, _, _over):
        first = ChildLink(address)
        first.send(_log("taken"))
        link = ChildLink(address, connect_timeout=0.05)
        link.send(_log("not taken"))
        link.send(Output(stream="stdout", text="nor this"))
        assert capfd.readouterr() == ("nor this", "not taken\n")
        with pytest.raises(RunnerError, match="cannot tell the worker its metric"):
            link.send(Metric(name="m", value=1, step=None))
        with pytest.raises(RunnerError, match="within 1 seconds"):
            link.session(renew=False, timeout=1)
        first._close()


def test_a_closed_connection_is_made_again(tmp_path: Path) -> None:
    """A process that closes all its descriptors is heard all the same."""
    with _serving(tmp_path) as (address, processes, end):
        link = ChildLink(address)
        link.send(_log("first"))
        assert link._sock is not None
        os.close(link._sock.fileno())
        link.send(_log("second"))
        end()
        heard = Listener()
        output = RunnerOutput(heard)
        for number, sock in processes._connections.items():
            output.read_messages(sock, number)
        output.pass_on()
        assert heard.messages == [_log("first"), _log("second")]
        link._close()


def test_an_address_that_is_too_long(tmp_path: Path) -> None:
    """There is none then, and nobody has waited for it."""
    assert JobProcesses().listen(tmp_path / ("x" * 120)) == ""
    with pytest.raises(RunnerError, match="no address"):
        ChildLink("").session(renew=False, timeout=1)
