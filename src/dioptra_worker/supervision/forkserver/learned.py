"""The second fork server: it takes the place of the last one once it is fit."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.process_identity import identify
from dioptra_worker.errors import RunnerError
from dioptra_worker.supervision.forkserver.client import ForkserverClient
from dioptra_worker.supervision.forkserver.learning import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.protocol.forkserver import ProcessRequest
    from dioptra_worker.supervision.forkserver.learning import Refusal
    from dioptra_worker.supervision.forkserver.runner_process import ProcessHandle
    from dioptra_worker.supervision.forkserver.start import ForkserverHandle

_RETIRE_INTERVAL = 0.1


class LearnedForkserver:
    """The second fork server, if there is one; for any thread."""

    def __init__(self) -> None:
        """Prepare; there is none yet."""
        self._trial_lock = threading.Lock()
        self._trial: Trial | None = None
        self._may_learn = True
        # Held while a runner is asked for: who is asked is not replaced meanwhile.
        self._lock = threading.Lock()
        self._present: ForkserverClient | None = None
        self._retired: ForkserverClient | None = None
        self._closed = False

    @property
    def client(self) -> ForkserverClient | None:
        """Our conversation with the one that hands out runners, if there is one."""
        present = self._present
        return None if present is None or present.ended else present

    def all(self) -> list[ForkserverClient]:
        """Those that have perhaps runners; one that was replaced has its last."""
        found = (self._present, self._retired)
        return [each for each in found if each is not None]

    def try_out(
        self,
        handle: ForkserverHandle,
        process: ProcessHandle,
        *,
        memory: int,
        timeout: float,
        may_go_on: Callable[[], bool],
    ) -> Refusal | None:
        """Wait until one that was just begun is ready, and use it from then on.

        Args:
            handle: The new one.
            process: It, as the first fork server sees it.
            memory: By how many bytes it may grow.
            timeout: Seconds that it may take, without pauses.
            may_go_on: Whether the machine has no job of anybody else.

        Returns:
            Why it is not used.
        """
        if (found := identify(process.pid)) is not None:
            handle.recognise(found)
        client = ForkserverClient(handle)
        threading.Thread(
            target=client.read_reports, name="dioptra-forkserver", daemon=True
        ).start()
        trial = Trial(
            client, process, memory=memory, timeout=timeout, may_go_on=may_go_on
        )
        with self._trial_lock:
            self._trial = trial
            if not self._may_learn:
                trial.pause()
        try:
            refusal = trial.wait()
        finally:
            with self._trial_lock:
                self._trial = None
        if refusal is None and not self._closed:
            with self._lock:
                old, self._present = self._present, client
        else:
            old = client
        if old is not None:
            self._retire(old)
        return refusal

    def _retire(self, forkserver: ForkserverClient) -> None:
        """Close one that makes no runner any more, once its last one has ended."""
        self._retired = forkserver
        while not self._closed and forkserver.running():
            time.sleep(_RETIRE_INTERVAL)
        self._retired = None
        forkserver.close(wait=0.0)

    def pause(self) -> None:
        """Let one that is tried out do nothing: a job is about to run."""
        with self._trial_lock:
            self._may_learn = False
            if self._trial is not None:
                self._trial.pause()

    def resume(self) -> None:
        """Let it go on."""
        with self._trial_lock:
            self._may_learn = True
            if self._trial is not None:
                self._trial.resume()

    def request_process(
        self, request: ProcessRequest, descriptors: list[int], *, timeout: float
    ) -> ProcessHandle:
        """Have a process made, soon or not at all.

        Args:
            request: What process.
            descriptors: What it is given.
            timeout: Seconds that this may take; the second fork server is ended then.

        Raises:
            RunnerError: If none was: there is the first fork server.
        """
        with self._lock:
            if (client := self.client) is None:
                raise RunnerError("there is no second fork server")
            return client.request_process(request, descriptors, timeout=timeout)

    def close(self, *, wait: float) -> None:
        """Hang up; it ends, and with it its runners.

        Args:
            wait: Seconds that they have.
        """
        self._closed = True
        with self._trial_lock:
            if self._trial is not None:
                self._trial.give_up()
        if (present := self._present) is not None:
            present.close(wait=wait)
