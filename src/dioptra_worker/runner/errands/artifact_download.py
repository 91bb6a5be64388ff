"""A process that fetches one artifact straight from its store, and says how far it is.

The daemon imports no library of a store, and nothing that one of them does can bring
it down: so it has the fork server make this process. It says what it has to say as JSON
lines on a pipe: ``size`` in bytes, ``came`` for bytes more, ``file`` and its ``sha256``
where that was computed as it came, and how it ended: ``done``, ``error``, ``missing``
for what the store does not have, or ``unfit`` for what cannot be kept on this machine.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dioptra_worker.common.files.archives import MAX_ARTIFACT_BYTES, MAX_FILES
from dioptra_worker.engine.wording import format_exception
from dioptra_worker.errors import ArtifactError, NotFound, WorkerError
from dioptra_worker.tracking import download
from dioptra_worker.tracking.limits import Limits

if TYPE_CHECKING:
    from dioptra_worker.protocol.forkserver import StartDownload

REPORT_INTERVAL = 0.25
"""Seconds between two words about how much has come."""


def main(reports: int, request: StartDownload) -> NoReturn:
    """Fetch an artifact and end the process.

    Args:
        reports: The descriptor to report to; closed pipes end it.
        request: What to fetch.
    """
    reporter = _Reporter(reports)
    try:
        target = Path(request.target)
        digests = download.fetch(
            request.uri,
            target,
            is_dir=request.is_dir,
            limits=Limits(files=MAX_FILES, size=MAX_ARTIFACT_BYTES),
            listener=reporter,
        )
    except ArtifactError as error:
        reporter.report(unfit=str(error))
        os._exit(1)
    except NotFound as error:
        reporter.report(missing=str(error))
        os._exit(1)
    except BaseException as error:  # noqa: BLE001 - the daemon is to know of any
        known = isinstance(error, WorkerError)
        reporter.report(error=str(error) if known else format_exception(error))
        os._exit(1)
    reporter.flush()
    for file, sha256 in digests.items():
        reporter.report(file=file.relative_to(target).as_posix(), sha256=sha256)
    reporter.report(done=True)
    os._exit(0)


class _Reporter:
    """Tells the daemon; any thread may add to what has come."""

    def __init__(self, reports: int) -> None:
        self._reports = reports
        self._lock = threading.Lock()
        self._unreported = 0
        self._reported_at = time.monotonic()

    def begin(self, size: int) -> None:
        """So many bytes will come."""
        self.report(size=size)

    def received(self, count: int) -> None:
        """So many more bytes are there."""
        with self._lock:
            self._unreported += count
            due = time.monotonic() - self._reported_at >= REPORT_INTERVAL
        if due:
            self.flush()

    def flush(self) -> None:
        """Tell what has not been told."""
        with self._lock:
            count, self._unreported = self._unreported, 0
            self._reported_at = time.monotonic()
        if count:
            self.report(came=count)

    def report(self, **body: object) -> None:
        """Write one line, in one piece."""
        os.write(self._reports, json.dumps(body).encode() + b"\n")
