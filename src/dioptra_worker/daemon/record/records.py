"""Stores manifests of jobs and says what has arrived of each, beside the next job."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from dioptra_worker.api.models import TERMINAL
from dioptra_worker.broker.parking import pause
from dioptra_worker.daemon.record.held_by_api import count_lost_lines, count_points
from dioptra_worker.errors import NotFound, ServiceError, WorkerError
from dioptra_worker.provenance.manifest import read_manifest
from dioptra_worker.provenance.surroundings import environment
from dioptra_worker.supervision.record.storing import store

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.daemon.record.pending_records import (
        PendingRecord,
        PendingRecords,
    )
    from dioptra_worker.supervision.launcher import Launcher

log = logging.getLogger("dioptra_worker.records")

LEFT_AGE = 30.0
"""Seconds after which a manifest is looked at that lies there: perhaps its owner is
gone, or the job's end could not be told."""
SWEEP_INTERVAL = 15.0
"""Seconds between two looks at what lies there."""
FIRST_PAUSES = (1.0, 3.0, 10.0)
"""Seconds between the first tries to store a manifest: most trouble is short. What a
parked job waits follows."""
CLOSE_TIMEOUT = 5.0
"""Seconds that the end of a worker waits for manifests of jobs that are over."""


class Records:
    """Has manifests stored, one after the other, in a thread of its own."""

    def __init__(
        self,
        pending: PendingRecords,
        *,
        api: DioptraApi,
        launcher: Launcher,
        pace: float = 1.0,
    ) -> None:
        """Prepare; entering starts the thread.

        Args:
            pending: Where manifests wait.
            api: Has the logs.
            launcher: Starts the processes that store them.
            pace: What pauses between two tries are multiplied with.
        """
        self._pending = pending
        self._api = api
        self._launcher = launcher
        self._pace = pace
        self._waiting: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._later: dict[Path, tuple[int, float]] = {}
        self._thread = threading.Thread(
            target=self._work, name="dioptra-records", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Store what waits, if that is soon; what is left is for the next start."""
        self._waiting.put(None)
        self._thread.join(CLOSE_TIMEOUT)

    def keep(
        self,
        job_id: int,
        *,
        end: str,
        manifest: bytes,
        evidence: bytes = b"",
        said_after: int = 0,
    ) -> Path | None:
        """Keep the manifest of a job that has an end; where, or None if that failed.

        Args:
            job_id: The job.
            end: The time that the last line of its log has.
            manifest: The manifest.
            evidence: What was signed of it.
            said_after: How many lines the log has beside those of the manifest and the
                last.
        """
        try:
            return self._pending.keep(
                job_id,
                end=end,
                manifest=manifest,
                evidence=evidence,
                said_after=said_after,
            )
        except (OSError, ValueError) as error:
            log.warning("job %d: its manifest is not kept: %s", job_id, error)
            return None

    def store(self, path: Path) -> None:
        """Store what was kept, soon: the job's end and all else is told."""
        self._waiting.put(path)

    def _work(self) -> None:
        with contextlib.suppress(Exception):
            environment()  # reads what is installed, which takes a while, and is kept
        sweep_at = time.monotonic() + SWEEP_INTERVAL * self._pace
        while True:
            try:
                path = self._waiting.get(timeout=self._time_left(sweep_at))
            except queue.Empty:
                self._try_again()
                if time.monotonic() >= sweep_at:
                    self._guarded(self._sweep)
                    sweep_at = time.monotonic() + SWEEP_INTERVAL * self._pace
                continue
            if path is None:
                return
            self._guarded(self._store, path)

    def _time_left(self, sweep_at: float) -> float:
        due = min((due for _, due in self._later.values()), default=sweep_at)
        return max(0.0, min(due, sweep_at) - time.monotonic())

    def _guarded(self, step: Any, *arguments: Any) -> None:
        try:
            step(*arguments)
        except Exception:
            log.exception("a manifest could not be stored")

    def _try_again(self) -> None:
        """Go on with what failed before: by then its job was over."""
        now = time.monotonic()
        for path in [path for path, (_, due) in self._later.items() if due <= now]:
            self._guarded(self._store, path)

    def _sweep(self) -> None:
        """Go on with what was left, by us or by who was lost."""
        for path in list(self._pending.left(age=LEFT_AGE * self._pace)):
            if path not in self._later:
                self._guarded(partial(self._store, path, is_left=True))

    def _store(self, path: Path, *, is_left: bool = False) -> None:
        tries, _ = self._later.pop(path, (0, 0.0))
        record = self._pending.open(path)
        if record is None:
            return
        try:
            with record:
                if is_left and not self._is_over(record):
                    return
                if self._try(record):
                    record.remove()
                    return
        except ServiceError as error:
            log.debug("no manifest is stored now: %s", error)
            if is_left:  # whether its job is over is not known
                return
        self._later[path] = (tries + 1, time.monotonic() + _pause(tries) * self._pace)

    def _is_over(self, record: PendingRecord) -> bool:
        try:
            job = self._api.job(record.about.job_id)
        except NotFound:
            record.remove()
            return False
        return job.status in TERMINAL

    def _try(self, record: PendingRecord) -> bool:
        """Store it; whether nobody need try again."""
        job_id = record.about.job_id
        try:
            manifest = read_manifest(record.manifest())
            lost = count_lost_lines(
                self._api,
                job_id,
                manifest.log,
                end=record.about.end,
                said_after=record.about.said_after,
            )
            points = count_points(self._api, job_id, manifest.metrics)
        except NotFound:
            return True
        except ServiceError:
            raise
        except WorkerError as error:
            log.warning("job %d: its manifest cannot be read: %s", job_id, error)
            return True
        report = self._report(record, lost, points)
        if trouble := report.get("error"):
            log.warning("job %d: its manifest is not stored: %s", job_id, trouble)
            return bool(report.get("over"))
        receipt = report.get("receipt", "")
        level = logging.INFO if report.get("complete") else logging.WARNING
        more = {"event": "receipt", "job_id": job_id}
        log.log(level, "job %d: receipt: %s", job_id, receipt, extra=more)
        return True

    def _report(
        self, record: PendingRecord, lost: int | None, points: dict[str, int] | None
    ) -> dict[str, Any]:
        manifest = record.open_manifest()
        try:
            return store(self._launcher, manifest, lost_lines=lost, points=points)
        finally:
            os.close(manifest)


def _pause(tries: int) -> float:
    """Seconds until what has failed so often before is tried again."""
    if tries < len(FIRST_PAUSES):
        return FIRST_PAUSES[tries]
    return pause(tries - len(FIRST_PAUSES))
