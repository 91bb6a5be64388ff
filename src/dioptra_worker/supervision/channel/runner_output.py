"""Parses what comes from a job: messages on its sockets, lines on its pipes."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from time import monotonic_ns
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.common.text.humanize import size
from dioptra_worker.protocol import codec
from dioptra_worker.protocol.messages import (
    BatchClaimRequest,
    ChildMessage,
    Output,
    PlanTaken,
    RunnerResult,
    SessionRequest,
    StepEnded,
    StepStarted,
)
from dioptra_worker.supervision.channel.job_processes import (
    MAX_REQUEST_ID,
    request_id,
)
from dioptra_worker.supervision.channel.line_splitter import LineSplitter
from dioptra_worker.supervision.channel.message_limits import (
    MAX_MESSAGE_BYTES,
    MAX_UNENDED_BYTES,
    LimitReached,
    MessageChecks,
    NotBelieved,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from dioptra_worker.protocol.messages import OutputStream, RunnerMessage

MAX_REFUSALS_TOLD = 20
"""Messages that are ignored and of which a job's log says so."""
MAX_COLLECTED = 10_000
"""Lines that are kept to be put in order; those of one more read may come on top."""
RUNNER = 0
"""The number of the runner among a job's processes."""
_READ_SIZE = 1 << 16
_READS = 4


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
    """Reads what a job's processes say, whatever they say, and passes it on.

    Several may speak: the runner, and those that its task has started. What they say is
    passed on in the order in which it was said.

    Attributes:
        took_plan: Whether code of the job's plugins may have run.
        reached_steps: Whether a step has begun.
        step: The step that is running, if one is.
        result: The runner's own last message, if it has come to that.
        over_limit: What the job took too much of; then nothing is passed on any more.
    """

    def __init__(self, listener: RunnerListener) -> None:
        self.took_plan = self.reached_steps = False
        self.step: str | None = None
        self.result: RunnerResult | None = None
        self.over_limit: str | None = None
        self._listener = listener
        self._checks = MessageChecks()
        self._messages: dict[int, LineSplitter] = {}
        self._collected: list[tuple[int, Callable[[], None]]] = []
        self._told_at = 0
        self._splitters: dict[tuple[str, OutputStream], LineSplitter] = {}

    @property
    def is_holding(self) -> bool:
        """Whether something that was read has yet to be passed on."""
        return bool(self._collected)

    def read_messages(self, sock: socket.socket, process: int = RUNNER) -> bool:
        """Read what there is on a socket for messages; False at its end.

        What is read is kept until `pass_on`.

        Args:
            sock: The socket, which does not block.
            process: The number of whose it is.
        """
        if len(self._collected) > MAX_COLLECTED:
            return True  # the rest can wait in the kernel: each line takes memory here
        splitter = self._messages.setdefault(
            process, LineSplitter(limit=MAX_MESSAGE_BYTES)
        )
        data, is_open = _received(sock)
        said_at = self._told_at
        for line in splitter.feed(data):
            time, rest = codec.split_time(line)
            said_at = said_at if time is None else time
            if rest:  # else it was stopped while it spoke, and began a new line
                receive = partial(self._receive, rest, process)
                self._collected.append((said_at, receive))
        if not is_open and process != RUNNER:
            end = partial(self._end_process, process)
            self._collected.append((monotonic_ns(), end))
        if sum(map(len, self._messages.values())) > MAX_UNENDED_BYTES:
            self.over_limit = self.over_limit or (
                "its processes began messages to the worker of more than"
                f" {size(MAX_UNENDED_BYTES)} and ended none of them"
            )
        return is_open

    def pass_on(self, until: int | None = None) -> None:
        """Pass on what was read, in the order in which it was said.

        Args:
            until: What was said later is kept for the next time, as something that was
                said before it may not have been read yet. None passes on everything.
        """
        now = monotonic_ns()
        if until is None:
            until = now
        # Nobody has said a thing in the future, unless to have it kept for ever.
        ready = [item for item in self._collected if not until < item[0] <= now]
        self._collected = [item for item in self._collected if until < item[0] <= now]
        ready.sort(key=lambda item: item[0])  # those of one process stay as they are
        for said_at, pass_on in ready:
            self._told_at = max(self._told_at, min(said_at, now))
            pass_on()

    def _end_process(self, process: int) -> None:
        """Pass on what a process has left, which hung up, as if it had ended it."""
        self._messages.pop(process, None)
        for key in [key for key in self._splitters if key[0] == f"process {process}"]:
            self._finish(key)

    def read_pipe(self, descriptor: int, stream: OutputStream) -> bool:
        """Read what there is of standard output or error; False at its end.

        It is kept until `pass_on`, too. When it was written nobody knows, only that it
        was before now: what a message said until then comes first.
        """
        data = os.read(descriptor, _READ_SIZE)
        if data:
            pass_on = partial(self._pass_lines, "pipe", stream, data)
            self._collected.append((monotonic_ns(), pass_on))
        return bool(data)

    def finish(self) -> None:
        """Pass on what is left, lines that were never ended among it."""
        self.pass_on()
        for key in list(self._splitters):
            self._finish(key)

    def _finish(self, key: tuple[str, OutputStream]) -> None:
        rest = self._splitters.pop(key).pop_rest()
        if rest and not self.over_limit:
            self._listener.line(key[1], _decoded(rest))

    def _receive(self, line: bytes, process: int) -> None:
        try:
            message = codec.decode_from_runner(line)
        except ValueError:  # cut off by a signal, or user code wrote to our socket
            self._pass_lines("socket", "stderr", line + b"\n")
            return
        try:
            self._take(message, process)
        except NotBelieved as error:
            self._refuse(str(error))
        except LimitReached as error:
            self.over_limit = self.over_limit or str(error)

    def _take(self, message: RunnerMessage, process: int) -> None:
        if self.over_limit:
            return
        if process != RUNNER:
            message = _of_process(message, process)
        message = self._checks.checked(message)
        if isinstance(message, Output):
            source = f"process {process}"
            self._pass_lines(source, message.stream, message.text.encode())
            return
        self._listener.message(message)
        if isinstance(message, PlanTaken):
            self.took_plan = True
        elif isinstance(message, StepStarted):
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


def _received(sock: socket.socket) -> tuple[bytes, bool]:
    """What there is on a socket, as much as systems keep, and whether it is open."""
    parts = []
    for _ in range(_READS):
        try:
            parts.append(sock.recv(_READ_SIZE))
        except BlockingIOError:  # there was nothing after all
            break
        except ConnectionError:  # it died before it had read all that we said
            parts.append(b"")
        if len(parts[-1]) < _READ_SIZE:
            return b"".join(parts), bool(parts[-1])
    return b"".join(parts), True


def _of_process(message: RunnerMessage, process: int) -> RunnerMessage:
    """A message of another process than the runner, as it is believed.

    Raises:
        NotBelieved: Only the runner may say that.
    """
    if not isinstance(message, ChildMessage):
        raise NotBelieved(
            f"only the job's own process can say {type(message).__name__}, and none"
            " that a task has started"
        )
    if isinstance(message, SessionRequest | BatchClaimRequest):
        if not 0 <= message.request_id <= MAX_REQUEST_ID:
            raise NotBelieved("a question's number is too high")
        return replace(message, request_id=request_id(process, message.request_id))
    return message


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
