"""The runner's end of the socket to the daemon: messages out, plan and answers in."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import queue
import socket
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING

from dioptra_worker.errors import RunnerError
from dioptra_worker.protocol import codec
from dioptra_worker.protocol.messages import (
    Activity,
    BatchClaimReply,
    BatchClaimRequest,
    Message,
    Plan,
    Session,
    SessionRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 1 << 16
Answer = Session | BatchClaimReply
_HIGH = 200
"""Where code that closes low descriptors does not meet ours; 256 is macOS's limit."""


class Channel:
    """One runner's conversation with the daemon; any thread may speak.

    A thread of its own reads, so that it notices when the daemon is gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_hangup: Callable[[], None],
        on_cut_off: Callable[[], None],
    ) -> None:
        """Start to listen.

        Args:
            sock: A connected stream socket; the channel owns it.
            on_hangup: Called, in the reading thread, when the daemon is gone.
            on_cut_off: Called when user code has closed our socket.
        """
        self._sock = sock
        self._on_hangup = on_hangup
        self._on_cut_off = on_cut_off
        self._pid = os.getpid()
        self._sending = threading.Lock()
        self._torn = False
        os.register_at_fork(after_in_child=partial(_unlock, weakref.ref(self)))
        self._plan: queue.SimpleQueue[Plan | None] = queue.SimpleQueue()
        self._answers: dict[int, queue.SimpleQueue[Answer | None]] = {}
        self._questions = itertools.count(1)
        self._reader = threading.Thread(
            target=self._listen, name="dioptra-channel", daemon=True
        )
        self._reader.start()

    def send(self, message: Message) -> None:
        """Tell the daemon something; waits while the daemon is busy.

        A daemon that is gone is no error here: the reading thread sees to the end.
        """
        line = codec.encode(message)
        try:
            with self._sending:
                if self._torn:  # a signal came while a message was on its way
                    line = b"\n" + line
                self._torn = True
                self._sock.sendall(line)
                self._torn = False
        except OSError as error:
            closed = error.errno in {errno.EBADF, errno.ENOTSOCK}
            if closed and os.getpid() == self._pid:  # a daemon of the job may do that
                self._on_cut_off()

    def plan(self) -> Plan:
        """Wait for the plan.

        Raises:
            RunnerError: If the daemon went away before it sent one.
        """
        plan = self._plan.get()
        if plan is None:
            raise RunnerError("the daemon went away before it sent a plan")
        return plan

    def session(self, *, renew: bool, timeout: float) -> Session:
        """Ask the daemon for its session with the REST API.

        Args:
            renew: Whether the present one was refused.
            timeout: Seconds to wait for the answer.

        Raises:
            RunnerError: If no answer came in time or the daemon has no session.
        """
        answer = self._ask(lambda n: SessionRequest(question=n, renew=renew), timeout)
        if not isinstance(answer, Session):
            raise RunnerError(
                f"the worker gave no API session within {timeout:g} seconds"
            )
        if answer.error:
            raise RunnerError(f"the worker has no API session: {answer.error}")
        return answer

    def activity(
        self, element: str, state: Activity, *, error: str = "", last: bool = False
    ) -> str:
        """Claim an element of a batch, or say what became of it.

        Waits as long as the daemon does; the job's time limit holds all the same.

        Returns:
            The outcome; see `BatchClaimReply`.

        Raises:
            RunnerError: If the daemon is gone.
        """
        answer = self._ask(
            lambda n: BatchClaimRequest(
                question=n, element=element, state=state, error=error, last=last
            )
        )
        if not isinstance(answer, BatchClaimReply):
            raise RunnerError("the daemon went away before it answered")
        return answer.outcome

    def _ask(
        self, question: Callable[[int], Message], timeout: float | None = None
    ) -> Answer | None:
        """The answer to a question; None if there is none in *timeout* seconds."""
        number = next(self._questions)
        answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._answers[number] = answers
        try:
            self.send(question(number))
            return answers.get(timeout=timeout)
        except queue.Empty:
            return None
        finally:
            del self._answers[number]

    def _listen(self) -> None:
        buffer = b""
        # What is no message of ours ends the job: it would wait for ever.
        with contextlib.suppress(OSError, ValueError):
            while chunk := self._sock.recv(_CHUNK):
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    self._take(codec.decode(line))
        self._plan.put(None)
        for answers in list(self._answers.values()):
            answers.put(None)
        self._on_hangup()

    def _take(self, message: Message) -> None:
        if isinstance(message, Plan):
            self._plan.put(message)
        elif isinstance(message, Answer):
            answers = self._answers.get(message.question)  # None: nobody waits any more
            if answers is not None:
                answers.put(message)


def out_of_reach(sock: socket.socket) -> socket.socket:
    """Move a socket to a high descriptor, if there may be one.

    Args:
        sock: The socket, which is closed if it was moved.
    """
    try:
        high = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except OSError:
        return sock
    with sock:
        return socket.socket(fileno=high)


def _unlock(reference: weakref.ref[Channel]) -> None:
    """In a child that user code forked, no other thread is there to release a lock."""
    channel = reference()
    if channel is not None:
        channel._sending = threading.Lock()  # noqa: SLF001 - our own
