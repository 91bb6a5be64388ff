"""Has an artifact fetched straight from its store, by a process of the fork server."""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
from typing import TYPE_CHECKING, Any, Protocol

from dioptra_worker.common.humanize import signal_name
from dioptra_worker.errors import ArtifactError, NotFound, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dioptra_worker.supervision.runner_process import ProcessHandle
    from dioptra_worker.tracking.limits import DownloadListener

SERVICE = "artifact store"
STALLED = 60.0
"""Seconds without a byte after which the store is not waited for any more."""
_LOOK = 0.2
"""Seconds between two looks at whether the job was stopped."""
_LAST_WAIT = 5.0
_CHUNK = 1 << 16


class Maker(Protocol):
    """Makes the process: a `dioptra_worker.supervision.launcher.Launcher`."""

    def start_download(
        self, uri: str, target: Path, *, is_dir: bool
    ) -> tuple[ProcessHandle, int]:
        """Begin to fetch; the process and the descriptor of its reports."""
        ...

    def signal(self, process: ProcessHandle, signum: int) -> None:
        """Signal it."""
        ...


def fetch(
    maker: Maker,
    uri: str,
    target: Path,
    *,
    is_dir: bool,
    listener: DownloadListener,
    check_cancelled: Callable[[], object],
    slowest: float | None = None,
    stalled: float = STALLED,
) -> None:
    """Fetch an artifact straight from its store.

    Args:
        maker: Makes the process that does it.
        uri: Where the artifact is.
        target: The file or folder to make of it; of no use after a failure.
        is_dir: Whether it is a folder.
        listener: Is told how far it is.
        check_cancelled: Called now and then; may raise to give up.
        slowest: Bytes a second of a store that has all of an artifact fetched from
            elsewhere before it sends a byte; None for a store that begins at once.
        stalled: Seconds without a byte after which to give up.

    Raises:
        ArtifactError: If it cannot be kept on this machine.
        NotFound: If the store says that it does not have it.
        RunnerError: If there is no process to do it.
        ServiceUnavailable: If the store did not give it; why may be anything.
    """
    process, reports = maker.start_download(uri, target, is_dir=is_dir)
    try:
        hearing = _Hearing(process, reports, stalled=stalled, slowest=slowest)
        if not hearing.out(listener, check_cancelled):
            process.ended.wait(_LAST_WAIT)
            raise _failed(f"the process that fetched it {_end(process)}")
    finally:
        os.close(reports)
        maker.signal(process, signal.SIGKILL)  # to no effect once it has ended
        process.ended.wait(_LAST_WAIT)


class _Hearing:
    """Hears a process out, unless it falls silent."""

    def __init__(
        self,
        process: ProcessHandle,
        reports: int,
        *,
        stalled: float,
        slowest: float | None,
    ) -> None:
        self._process = process
        self._reports = reports
        self._stalled = stalled
        self._slowest = slowest

    def out(
        self, listener: DownloadListener, check_cancelled: Callable[[], object]
    ) -> bool:
        """Hear all of it; whether it said that it was done."""
        buffer = b""
        heard = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._reports, selectors.EVENT_READ)
            while True:
                check_cancelled()
                if not selector.select(_LOOK):
                    if self._process.ended.is_set():
                        return False
                    if time.monotonic() - heard > self._stalled:
                        raise _failed(f"nothing came for {self._stalled:.0f} s")
                    continue
                heard = time.monotonic()
                data = os.read(self._reports, _CHUNK)
                if not data:
                    return False
                *lines, buffer = (buffer + data).split(b"\n")
                for said in map(json.loads, lines):
                    self._be_patient(said)
                    if _is_done(said, listener):
                        return True

    def _be_patient(self, said: dict[str, Any]) -> None:
        if self._slowest is not None:
            self._stalled += said.get("size", 0) / self._slowest


def _is_done(said: dict[str, Any], listener: DownloadListener) -> bool:
    match said:
        case {"size": int(size)}:
            listener.begin(size)
        case {"came": int(count)}:
            listener.received(count)
        case {"unfit": str(words)}:
            raise ArtifactError(words)
        case {"missing": str(words)}:
            raise NotFound(words, service=SERVICE)
        case {"error": str(words)}:
            raise _failed(words)
    return "done" in said


def _end(process: ProcessHandle) -> str:
    """How a process ended that had not said why."""
    code = None if process.exit is None else process.exit.code
    if code is None or code >= 0:
        return "ended without a word"
    return f"was killed by {signal_name(-code)}"


def _failed(words: str) -> ServiceUnavailable:
    return ServiceUnavailable(words, service=SERVICE)
