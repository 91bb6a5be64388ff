"""Parses what comes from a runner: messages on its socket, lines on its pipes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.protocol import codec
from dioptra_worker.protocol.messages import (
    Output,
    RunnerResult,
    StepEnded,
    StepStarted,
)
from dioptra_worker.supervision.channel.line_splitter import LineSplitter
from dioptra_worker.supervision.channel.message_limits import (
    MAX_MESSAGE_BYTES,
    LimitReached,
    MessageChecks,
    NotBelieved,
)

if TYPE_CHECKING:
    import socket

    from dioptra_worker.protocol.messages import OutputStream, RunnerMessage

MAX_REFUSALS_TOLD = 20
"""Messages that are ignored and of which a job's log says so."""
_READ_SIZE = 1 << 16


class RunnerListener(Protocol):
    """Receives what a runner says, in order."""

    def message(self, message: RunnerMessage) -> None:
        """A message from the runner.

        Raises:
            NotBelieved: It is not the job's own to say.
            LimitReached: The job is to fail for it.
        """
        ...

    def refused(self, words: str) -> None:
        """Why a message is ignored; told of some."""
        ...

    def line(self, stream: OutputStream, text: str) -> None:
        """A line that the job or a process of it wrote."""
        ...


class RunnerOutput:
    """Reads what a runner says, whatever it says, and passes it on.

    Attributes:
        reached_steps: Whether a step has begun.
        step: The step that is running, if one is.
        result: The runner's own last message, if it has come to that.
        over_limit: What the job took too much of; then nothing is passed on any more.
    """

    def __init__(self, listener: RunnerListener) -> None:
        self.reached_steps = False
        self.step: str | None = None
        self.result: RunnerResult | None = None
        self.over_limit: str | None = None
        self._listener = listener
        self._checks = MessageChecks()
        self._messages = LineSplitter(limit=MAX_MESSAGE_BYTES)
        self._splitters: dict[tuple[str, OutputStream], LineSplitter] = {}

    def read_messages(self, sock: socket.socket) -> bool:
        """Read what there is on the socket for messages; False at its end."""
        try:
            data = sock.recv(_READ_SIZE)
        except BlockingIOError:  # there was nothing after all
            return True
        except ConnectionError:  # it died before it had read all that we said
            return False
        for line in self._messages.feed(data):
            self._receive(line)
        return bool(data)

    def read_pipe(self, descriptor: int, stream: OutputStream) -> bool:
        """Read what there is of standard output or error; False at its end."""
        data = os.read(descriptor, _READ_SIZE)
        self._pass_lines("pipe", stream, data)
        return bool(data)

    def finish(self) -> None:
        """Pass on lines that were never ended."""
        for (_, stream), splitter in self._splitters.items():
            if (rest := splitter.pop_rest()) and not self.over_limit:
                self._listener.line(stream, _decoded(rest))

    def _receive(self, line: bytes) -> None:
        if not line:  # it was stopped while it spoke, and began a new line
            return
        try:
            message = codec.decode_from_runner(line)
        except ValueError:  # cut off by a signal, or user code wrote to our socket
            self._pass_lines("socket", "stderr", line + b"\n")
            return
        try:
            self._take(message)
        except NotBelieved as error:
            self._refuse(str(error))
        except LimitReached as error:
            self.over_limit = self.over_limit or str(error)

    def _take(self, message: RunnerMessage) -> None:
        if self.over_limit:
            return
        message = self._checks.checked(message)
        if isinstance(message, Output):
            self._pass_lines("python", message.stream, message.text.encode())
            return
        self._listener.message(message)
        if isinstance(message, StepStarted):
            self.step, self.reached_steps = message.step, True
        elif isinstance(message, StepEnded):
            self.step = None
        elif isinstance(message, RunnerResult):
            self.result = message

    def _refuse(self, words: str) -> None:
        try:
            count = self._checks.count_refusal()
        except LimitReached as error:
            self.over_limit = str(error)
            return
        if count <= MAX_REFUSALS_TOLD:
            self._listener.refused(words)

    def _pass_lines(self, source: str, stream: OutputStream, data: bytes) -> None:
        splitter = self._splitters.setdefault((source, stream), LineSplitter())
        for line in splitter.feed(data):
            if not self.over_limit:
                self._listener.line(stream, _decoded(line))


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
