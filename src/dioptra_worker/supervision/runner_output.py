"""Makes messages and lines of the bytes that come from a runner."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.protocol import codec
from dioptra_worker.protocol.messages import (
    Message,
    Output,
    RunnerResult,
    StepEnded,
    StepStarted,
)
from dioptra_worker.supervision.line_splitter import LineSplitter

if TYPE_CHECKING:
    import socket

    from dioptra_worker.protocol.messages import OutputStream

LONGEST_MESSAGE = 64 << 20
"""Bytes after which what has no line end is no message of ours; honest ones are cut
by the runner long before."""
_CHUNK = 1 << 16


class Listener(Protocol):
    """Hears what a runner says, in order."""

    def message(self, message: Message) -> None:
        """A message from the runner."""
        ...

    def line(self, stream: OutputStream, text: str) -> None:
        """A line that the job or a process of it wrote."""
        ...


class RunnerOutput:
    """Reads what a runner says, whatever it says, and passes it on.

    Attributes:
        begun: Whether a step has begun.
        step: The step that is running, if one is.
        ended: The runner's own last word, if it had one.
    """

    def __init__(self, listener: Listener) -> None:
        self.begun = False
        self.step: str | None = None
        self.ended: RunnerResult | None = None
        self._listener = listener
        self._messages = LineSplitter(limit=LONGEST_MESSAGE)
        self._lines: dict[tuple[str, OutputStream], LineSplitter] = {}

    def control(self, sock: socket.socket) -> bool:
        """Read what there is on the socket for messages; False at its end."""
        try:
            data = sock.recv(_CHUNK)
        except ConnectionError:  # it died before it had read all that we said
            return False
        for line in self._messages.feed(data):
            self._take(line)
        return bool(data)

    def pipe(self, descriptor: int, stream: OutputStream) -> bool:
        """Read what there is of standard output or error; False at its end."""
        data = os.read(descriptor, _CHUNK)
        self._text("pipe", stream, data)
        return bool(data)

    def finish(self) -> None:
        """Pass on lines that were never ended."""
        for (_, stream), assembler in self._lines.items():
            if rest := assembler.rest():
                self._listener.line(stream, _shown(rest))

    def _take(self, line: bytes) -> None:
        if not line:  # it was stopped while it spoke, and began a new line
            return
        try:
            message = codec.decode(line)
        except ValueError:  # cut off by a signal, or user code wrote to our socket
            self._listener.line("stderr", _shown(line))
            return
        if isinstance(message, StepStarted):
            self.step, self.begun = message.step, True
        elif isinstance(message, StepEnded):
            self.step = None
        elif isinstance(message, RunnerResult):
            self.ended = message
        if isinstance(message, Output):
            text = message.text.encode("utf-8", "backslashreplace")
            self._text("python", message.stream, text)
        else:
            self._listener.message(message)

    def _text(self, source: str, stream: OutputStream, data: bytes) -> None:
        assembler = self._lines.setdefault((source, stream), LineSplitter())
        for line in assembler.feed(data):
            self._listener.line(stream, _shown(line))


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
