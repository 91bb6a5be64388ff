"""Has an artifact fetched straight from its store, by a process of the fork server."""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
from typing import TYPE_CHECKING, Any, Protocol

from dioptra_worker.common.network.paced_connections import MIN_DOWNLOAD_RATE, Pace
from dioptra_worker.common.text.humanize import signal_name, size
from dioptra_worker.errors import ArtifactError, NotFound, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dioptra_worker.supervision.forkserver.runner_process import ProcessHandle
    from dioptra_worker.tracking.limits import DownloadListener

SERVICE = "artifact store"
STALL_TIMEOUT = 60.0
"""Seconds without a byte after which the store is not waited for any more."""
_POLL_INTERVAL = 0.2
"""Seconds between two looks at whether the job was stopped."""
EXIT_TIMEOUT = 5.0
"""Seconds that the process has to end once its pipe is closed, or it was killed."""
_CHUNK_BYTES = 1 << 16


class DownloadLauncher(Protocol):
    """Starts the process: a `dioptra_worker.supervision.launcher.Launcher`."""

    def start_download(
        self, uri: str, target: Path, *, is_dir: bool
    ) -> tuple[ProcessHandle, int]:
        """Begin to fetch; the process and the descriptor of its reports."""
        ...

    def signal(self, process: ProcessHandle, signum: int) -> None:
        """Signal it."""
        ...


def fetch(
    launcher: DownloadLauncher,
    uri: str,
    target: Path,
    *,
    is_dir: bool,
    listener: DownloadListener,
    check_cancelled: Callable[[], object],
    min_rate: float | None = None,
    stall_timeout: float = STALL_TIMEOUT,
    exit_timeout: float = EXIT_TIMEOUT,
) -> dict[str, str]:
    """Fetch an artifact straight from its store.

    Args:
        launcher: Starts the process that does it.
        uri: Where the artifact is.
        target: The file or folder to make of it; of no use after a failure.
        is_dir: Whether it is a folder.
        listener: Is told how far it is.
        check_cancelled: Called now and then; may raise to give up.
        min_rate: Bytes a second of a store that has all of an artifact fetched from
            elsewhere before it sends a byte; None for a store that begins at once.
        stall_timeout: Seconds without a byte after which to give up; so many are
            given, too, beyond those of a store with `MIN_DOWNLOAD_RATE`.
        exit_timeout: Seconds that the process has to end.

    Returns:
        The SHA-256 of files that it computed on the way, by their paths below the
        target; of a single file that is ``.``.

    Raises:
        ArtifactError: If it cannot be kept on this machine.
        NotFound: If the store says that it does not have it.
        RunnerError: If there is no process to do it.
        ServiceUnavailable: If the store did not give it; why may be anything.
    """
    process, reports = launcher.start_download(uri, target, is_dir=is_dir)
    try:
        reader = _ReportReader(
            process, reports, stall_timeout=stall_timeout, min_rate=min_rate
        )
        if not reader.read_all(listener, check_cancelled):
            process.ended.wait(exit_timeout)
            raise _failed(f"the process that fetched it {_describe_exit(process)}")
        return reader.digests
    finally:
        os.close(reports)
        launcher.signal(process, signal.SIGKILL)  # to no effect once it has ended
        process.ended.wait(exit_timeout)


class _ReportReader:
    """Reads what a process reports, unless it falls silent or little comes.

    What arrives extends the deadline of the job's set-up, so a store that sends a byte
    now and then would hold it for ever: it has the pace that answers of the API have.

    Attributes:
        digests: The SHA-256 of files, by their paths below the target.
    """

    def __init__(
        self,
        process: ProcessHandle,
        reports: int,
        *,
        stall_timeout: float,
        min_rate: float | None,
    ) -> None:
        self._process = process
        self._reports = reports
        self._stall_timeout = stall_timeout
        self._min_rate = min_rate
        self._pace = Pace(stall_timeout, rate=MIN_DOWNLOAD_RATE)
        self._announced: int | None = None
        self._received = 0
        self.digests: dict[str, str] = {}

    def read_all(
        self, listener: DownloadListener, check_cancelled: Callable[[], object]
    ) -> bool:
        """Read all of it; whether it reported that it was done."""
        buffer = b""
        last_report = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._reports, selectors.EVENT_READ)
            while True:
                check_cancelled()
                # Looked at before the pipe: a process that ends between the two may
                # just have reported that it was done.
                has_ended = self._process.ended.is_set()
                began = time.monotonic()
                is_said = bool(selector.select(_POLL_INTERVAL))
                self._pace.note(time.monotonic() - began, 0)
                if not is_said:
                    if has_ended:
                        return False
                    if time.monotonic() - last_report > self._stall_timeout:
                        raise _failed(f"nothing came for {self._stall_timeout:.0f} s")
                    continue
                last_report = time.monotonic()
                data = os.read(self._reports, _CHUNK_BYTES)
                if not data:
                    return False
                *lines, buffer = (buffer + data).split(b"\n")
                for report in map(json.loads, lines):
                    self._note(report)
                    if _handle(report, listener):
                        return True
                if self._pace.left <= 0:
                    raise _failed(
                        f"it came at less than {size(MIN_DOWNLOAD_RATE)} a second,"
                        f" {size(self._received)} so far"
                    )

    def _note(self, report: dict[str, Any]) -> None:
        if "sha256" in report:
            self.digests[str(report["file"])] = str(report["sha256"])
        announced, count = report.get("size"), report.get("came", 0)
        if announced is not None:
            self._announced = announced
            if self._min_rate is not None:
                self._stall_timeout += announced / self._min_rate
                self._pace.allow(announced / self._min_rate)
        self._received += count
        self._pace.note(0.0, count)
        said = self._announced
        if said is not None and self._received > _most(said):
            raise _failed(f"{size(self._received)} came, and it had said {size(said)}")


def _most(announced: int) -> int:
    """Bytes that may come: a library may repeat parts, or count what it copies."""
    return 2 * announced + (1 << 20)


def _handle(report: dict[str, Any], listener: DownloadListener) -> bool:
    match report:
        case {"size": int(count)}:
            listener.begin(count)
        case {"came": int(count)}:
            listener.received(count)
        case {"unfit": str(words)}:
            raise ArtifactError(words)
        case {"missing": str(words)}:
            raise NotFound(words, service=SERVICE)
        case {"error": str(words)}:
            raise _failed(words)
    return "done" in report


def _describe_exit(process: ProcessHandle) -> str:
    """How a process ended that had not said why."""
    code = None if process.exit is None else process.exit.code
    if code is None or code >= 0:
        return "ended without a word"
    return f"was killed by {signal_name(-code)}"


def _failed(words: str) -> ServiceUnavailable:
    return ServiceUnavailable(words, service=SERVICE)
