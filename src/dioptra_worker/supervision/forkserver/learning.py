"""A second fork server gets ready beside the first, under watch, while nobody waits.

It is to have imported what jobs wait for. Whatever an import does, it costs no job
anything: the second one is stopped while jobs run, ended when it takes too long or too
much memory, and used only once it has said that nothing is wrong with it.
"""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.memory import private_bytes
from dioptra_worker.common.processes.process_identity import identify, send
from dioptra_worker.common.text.humanize import duration, signal_name, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.supervision.forkserver.client import ForkserverClient
    from dioptra_worker.supervision.forkserver.runner_process import ProcessHandle

LEARNING_TIMEOUT = 120.0
"""Seconds that a second fork server may take for its imports, without its pauses."""
_BEGIN_TIMEOUT = 60.0
"""Seconds until its first import, which count in no other way."""
_LOOK_INTERVAL = 0.1
_END_TIMEOUT = 5.0


@dataclass(frozen=True)
class Refusal:
    """Why a second fork server was not fit for jobs.

    Attributes:
        module: The module whose import is to blame; empty where it is none.
        reason: Why, as the rest of a sentence that begins with that import.
        may_pass: Whether it may be fit at another time, as when it was only too slow: a
            machine that is busy is no fault of the module's.
    """

    module: str
    reason: str
    may_pass: bool = False


class Trial:
    """A second fork server, from its first moment until it is ready, or has ended."""

    def __init__(
        self,
        client: ForkserverClient,
        process: ProcessHandle,
        *,
        memory: int,
        timeout: float = LEARNING_TIMEOUT,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Begin to watch.

        Args:
            client: Our conversation with it; somebody reads its reports.
            process: It, as the first fork server sees it.
            memory: By how many bytes it may grow.
            timeout: Seconds that it may take.
            may_go_on: Whether the machine has no job of anybody else; asked all the
                time.
        """
        self._client = client
        self._process = process
        self._id = identify(process.pid)
        self._memory = memory
        self._timeout = timeout
        self._at_first = private_bytes(process.pid)
        self._may_go_on = may_go_on
        self._lock = threading.Lock()
        self._has_job = False
        self._paused_at: float | None = None
        self._paused = 0.0
        self._given_up = False

    def pause(self) -> None:
        """Have it do nothing: a job runs, and the machine is the job's."""
        with self._lock:
            self._has_job = True
            self._stop()

    def resume(self) -> None:
        """Have it go on, unless others have jobs."""
        with self._lock:
            self._has_job = False
            self._stop_or_go_on()

    def _stop_or_go_on(self) -> None:
        if self._has_job or not self._may_go_on():
            self._stop()
        elif self._paused_at is not None:
            self._paused += time.monotonic() - self._paused_at
            self._paused_at = None
            self._signal(signal.SIGCONT)

    def _stop(self) -> None:
        if self._paused_at is None and not self._client.ready.is_set():
            self._paused_at = time.monotonic()
            self._signal(signal.SIGSTOP)

    def give_up(self) -> None:
        """End it: nobody wants it any more."""
        self._given_up = True
        self._client.kill()

    def wait(self) -> Refusal | None:
        """Wait until it is ready; why it is not to be used."""
        asked = started = time.monotonic()
        refusal = None
        while not self._client.ready.wait(_LOOK_INTERVAL) and refusal is None:
            now = time.monotonic()
            if not self._client.importing and now < asked + _BEGIN_TIMEOUT:
                started = now
            with self._lock:
                self._stop_or_go_on()
                until = self._paused_at or now
                spent = until - started - self._paused
            grown = private_bytes(self._process.pid) - self._at_first
            if spent > self._timeout:
                words = f"took longer than {duration(self._timeout)}"
                refusal = Refusal(self._client.importing, words, may_pass=True)
            elif grown > self._memory:
                words = f"took more memory than the {size(self._memory)} that it may"
                refusal = self._blame(words)
        if refusal is not None:
            self._client.kill()
            self._client.ready.wait(_END_TIMEOUT)
            return refusal
        if self._client.was_ready and not self._client.ended:
            return None
        if (refused := self._client.refused) is not None:
            return Refusal(refused.module, refused.reason)
        if self._given_up:
            return Refusal("", "it was not wanted any more")
        self._process.ended.wait(_END_TIMEOUT)
        return self._blame(f"ended the process ({self._ending()})")

    def _blame(self, words: str) -> Refusal:
        return Refusal(self._client.importing, words)

    def _ending(self) -> str:
        code = None if self._process.exit is None else self._process.exit.code
        if code is None:
            return "nobody saw how"
        return f"exit code {code}" if code >= 0 else signal_name(-code)

    def _signal(self, number: signal.Signals) -> None:
        if self._id is not None:
            send(self._id, number)
