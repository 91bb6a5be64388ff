"""What a job has produced and the API has not, in a folder of the worker's own.

The journal outlives the daemon: a worker of the same machine that finds one whose
owner is gone delivers what is in it (`daemon.recovery.orphaned_outboxes`), or goes on
with it when it runs the job again. Whose it is, a lock on a file says, which the system
lets go when the owner dies, however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dioptra_worker.broker.records import PendingStatus, UnknownRun
from dioptra_worker.common.files.listing import beginning_with
from dioptra_worker.common.files.trusted_folder import make_private
from dioptra_worker.daemon.outbox.buffer import Buffer
from dioptra_worker.daemon.outbox.item_store import ItemStore
from dioptra_worker.daemon.outbox.items import RESULTS, ItemCodec, Result
from dioptra_worker.protocol.messages import Log
from dioptra_worker.provenance.manifest import LogSegment
from dioptra_worker.supervision.record.chains import completed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.supervision.record.chains import LogChain

log = logging.getLogger("dioptra_worker.journal")

FLUSH_INTERVAL = 0.05
"""Seconds between two writes: what a daemon that is killed may lose."""
MAX_JOURNAL_AGE = 30 * 24 * 3600.0
"""Seconds after which a journal that nobody could deliver is removed: its API has
another address by now, or is no more."""
_FOLDER = "outbox"
_ABOUT_FILE = "about.json"
_FINAL_STATUS_FILE = "end.json"
_CHAIN_FILE = "chain.json"
_RUN_STATUSES = {"finished": "FINISHED", "failed": "FAILED"}
_NAME = re.compile(r"job-(\d+)-.+")
_MAKING = "making-"
_REMOVING = "removing-"
_MAX_HALF_DONE_AGE = 3600.0
"""Seconds after which nobody is still making or removing a journal."""


@dataclass(frozen=True, kw_only=True)
class About:
    """Whose journal it is.

    Attributes:
        job_id: The job.
        experiment_id: Its experiment.
        attempt: Which attempt at it, from 1.
        worker: The worker's name.
        api: The address of the API that knows the job.
        start_token: What tells the attempt's start from every other.
        run_id: The attempt's MLflow run, once it has one.
        ended: The time that the last line of the job's log has, by which it is known
            again, once the attempt has an end.
    """

    job_id: int
    experiment_id: int
    attempt: int
    worker: str
    api: str
    start_token: str = ""
    run_id: str = ""
    ended: str = ""


class Journal:
    """One job's journal, ours while it is open; use it in a ``with``.

    Attributes:
        about: Whose it is; of one that was left, whose it was.
        final_status: The job's final status, if it is known and the API was not told.
        last_line: The time of the last line of the log of one that was left, if it has
            one. It may be in the log, too, and is for who tells the end to say.
        log: The job's log.
        results: The MLflow run and metrics.
        artifacts: Output artifacts, which are held until the job has an end.
        chain: The chain of the log: that of whoever writes it now. Until there is one,
            `left_segments` are those that were left.
    """

    def __init__(self, folder: Path, about: About, lock: int) -> None:
        """Open the files in a folder that is ours; see `Journals`."""
        self.about = about
        self.final_status = _read_final_status(folder)
        self.last_line = about.ended
        self._folder = folder
        self._lock = lock
        self._is_about_written = True
        self.chain: LogChain | None = None
        self._chain_written: tuple[LogSegment, ...] = ()
        self._dirty = threading.Event()
        self._done = threading.Event()
        _refuse_older(folder)
        log_codec, result_codec = ItemCodec(Log), ItemCodec(*RESULTS)
        log_store = ItemStore(folder / "log.sqlite", log_codec)
        result_store = ItemStore(folder / "results.sqlite", result_codec)
        artifact_store = ItemStore(folder / "artifacts.sqlite", result_codec)
        wake = self._dirty.set
        self.log: Buffer[Log] = Buffer(log_codec.weight, log_store, wake)
        self.results: Buffer[Result] = Buffer(result_codec.weight, result_store, wake)
        self.artifacts: Buffer[Result] = Buffer(
            result_codec.weight, artifact_store, wake
        )
        self._thread = threading.Thread(
            target=self._flush_repeatedly, name="dioptra-journal", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it; one in which nothing waits is removed."""
        self._done.set()
        self._dirty.set()
        self._thread.join()
        for buffer in self._buffers:
            buffer.close()
        if self.is_empty:
            _remove(self._folder)
        os.close(self._lock)  # last: whoever gets the lock opens the stores

    def left_segments(self) -> tuple[LogSegment, ...]:
        """The log's segments that were left, with all lines that were."""
        upto, segments = _read_segments(self._folder)
        after, left = max(upto, self.log.acked), []
        while after < self.log.last:
            reading = self.log.read(after, most=10_000, weight=sys.maxsize)
            left += [line for _, line in reading.items]
            after = reading.upto
        # The last line of a job that ended is in no segment.
        said = (it for it in left if it.message.partition(" ")[0] != self.last_line)
        return completed(segments, said)

    @property
    def is_empty(self) -> bool:
        """Whether nothing in it waits."""
        return self.final_status is None and self.waiting == 0

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return sum(buffer.waiting for buffer in self._buffers)

    @property
    def _buffers(self) -> tuple[Buffer[Log] | Buffer[Result], ...]:
        return self.log, self.results, self.artifacts

    @property
    def lines(self) -> int:
        """How many lines of the log wait, but for the last one of a job that ended."""
        log = self.log
        found = log.read(log.last - 1, most=1, weight=1).items if log.waiting else []
        stamps = [record.message.partition(" ")[0] for _, record in found]
        return log.waiting - (stamps == [self.last_line])

    def discard(self) -> None:
        """Nobody wants what is in it."""
        self.log.ack(self.log.last)
        self.discard_results()
        self.ack_final_status()

    def discard_results(self) -> None:
        """Nobody wants what is in it but for the log: another attempt's counts."""
        self.results.ack(self.results.last)
        self.artifacts.ack(self.artifacts.last)

    def record_final_status(self, end: PendingStatus) -> None:
        """Note how the job ended, after everything that it produced."""
        self.final_status = end
        self.about = replace(self.about, ended=end.line.partition(" ")[0])
        self._is_about_written = False
        self.flush()
        with contextlib.suppress(OSError):  # Redis knows it, too
            _write(self._folder / _FINAL_STATUS_FILE, json.dumps(asdict(end)).encode())

    def ack_final_status(self) -> None:
        """Note that the API was told how the job ended, or must not be."""
        self.final_status = None
        with contextlib.suppress(OSError):  # whoever reads it asks the API, too
            (self._folder / _FINAL_STATUS_FILE).unlink(missing_ok=True)

    @property
    def left_run(self) -> UnknownRun:
        """The MLflow run that the start it is of has perhaps left open."""
        ended = "" if self.final_status is None else self.final_status.status
        return UnknownRun(self.about.job_id, _RUN_STATUSES.get(ended, "KILLED"))

    def hand_over(self, *, attempt: int, worker: str, start_token: str = "") -> None:
        """Note that the job runs again; what the last attempt said stays.

        Its results do not: the new attempt has an MLflow run and results of its own.
        """
        self.about = replace(
            self.about,
            attempt=attempt,
            worker=worker,
            start_token=start_token,
            run_id="",
        )
        self._write_about()
        self.discard_results()
        self.ack_final_status()

    def record_run(self, run_id: str) -> None:
        """Note which MLflow run the attempt has; it is written with the next flush."""
        self.about = replace(self.about, run_id=run_id)
        self._is_about_written = False
        self._dirty.set()

    def _write_about(self) -> None:
        self._is_about_written = True
        text = json.dumps(asdict(self.about)).encode()
        with contextlib.suppress(OSError):
            # In one step, over all that is there: nothing of a longer text is left
            # behind it, which nobody could read.
            os.pwrite(self._lock, text.ljust(os.fstat(self._lock).st_size), 0)

    def flush(self) -> None:
        """Write what is yet to be written."""
        if not self._is_about_written:
            self._write_about()
        # Before the lines: what it has is on disk when it is. A line that is put
        # meanwhile is perhaps in it and beyond *upto*: its time tells.
        upto = self.log.last
        segments = () if self.chain is None else self.chain.segments()
        for buffer in self._buffers:
            buffer.flush()
        if segments != self._chain_written:
            self._write_chain(upto, segments)

    def _write_chain(self, upto: int, segments: tuple[LogSegment, ...]) -> None:
        """Write down the log's chain, which has the lines up to a number."""
        self._chain_written = segments
        body = {"upto": upto, "segments": [asdict(segment) for segment in segments]}
        with contextlib.suppress(OSError):  # a successor says that it begins anew
            _write(self._folder / _CHAIN_FILE, json.dumps(body).encode())

    def _flush_repeatedly(self) -> None:
        while not self._done.is_set():
            self._dirty.wait()
            self._dirty.clear()
            self.flush()
            self._done.wait(FLUSH_INTERVAL)


class Journals:
    """The journals of one worker's folder; several workers may share it."""

    def __init__(self, folder: Path, *, api: str) -> None:
        """Prepare; nothing is made yet.

        Args:
            folder: The worker's own folder.
            api: The API's address: job numbers of another mean other jobs.
        """
        self._folder = folder / _FOLDER
        self._api = api

    def open(
        self,
        *,
        job_id: int,
        experiment_id: int,
        attempt: int,
        worker: str,
        start_token: str = "",
    ) -> Journal | None:
        """The journal of a job: one that a lost worker left, or a new one.

        Returns:
            None when there can be none, which is said.
        """
        for journal in self.orphaned(job_id):
            return journal
        about = About(
            job_id=job_id,
            experiment_id=experiment_id,
            attempt=attempt,
            worker=worker,
            api=self._api,
            start_token=start_token,
        )
        try:
            return self._make(about)
        except OSError as error:
            log.warning(
                "job %d: what is not delivered is kept in memory only: %s",
                job_id,
                error,
                extra={"event": "outbox-not-kept"},
            )
            return None

    def final_status_of(self, job_id: int, *, attempt: int) -> PendingStatus | None:
        """How a job ended whose worker was lost before it could tell the API.

        Args:
            job_id: The job.
            attempt: The one that asks: an end is that of the one before, not of one
                that others have begun anew since.
        """
        for folder in self._of(job_id):
            end = _read_final_status(folder)
            if end is not None and _attempt_of(folder) >= attempt - 1:
                return end
        return None

    def orphaned_jobs(self) -> set[int]:
        """The jobs of which there are journals whose owner may be gone."""
        found = (_NAME.fullmatch(folder.name) for folder in self._of())
        return {int(name[1]) for name in found if name is not None}

    def orphaned(self, job_id: int) -> Iterator[Journal]:
        """A job's journals whose owner is gone, the oldest first; each is ours then."""
        for folder in self._of(job_id):
            journal = self._take_over(folder)
            if journal is not None:
                yield journal

    def remove_stale(self) -> None:
        """Remove what lost workers left half made or half removed, or long ago."""
        now = time.time()
        for begun in (_MAKING, _REMOVING):
            for folder in self._folder.glob(f"{begun}*"):
                if now - _changed(folder) > _MAX_HALF_DONE_AGE:
                    shutil.rmtree(folder, ignore_errors=True)
        for folder in self._of():
            last = max(map(_changed, [folder, *folder.glob("*")]))
            if now - last > MAX_JOURNAL_AGE and not _is_owned(folder):
                days = int((now - last) / 86_400)
                words = f"{days} days, so what it has left undelivered is removed"
                log.warning("nobody could deliver %s for %s", folder.name, words)
                _remove(folder)

    def _of(self, job_id: int | None = None) -> list[Path]:
        wanted = "job-" if job_id is None else f"job-{job_id}-"
        return sorted(beginning_with(self._folder, wanted), key=_changed)

    def _make(self, about: About) -> Journal:
        make_private(self._folder)
        made = Path(tempfile.mkdtemp(prefix=_MAKING, dir=self._folder))
        text = json.dumps(asdict(about)).encode()
        file = os.open(made / _ABOUT_FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(file, text)
            token = made.name.removeprefix(_MAKING)
            # Complete and locked before it has a name that others look for. Only then
            # the stores: SQLite goes by their names.
            made = made.rename(self._folder / f"job-{about.job_id}-{token}")
            return Journal(made, about, file)
        except BaseException:
            os.close(file)
            shutil.rmtree(made, ignore_errors=True)
            raise

    def _take_over(self, folder: Path) -> Journal | None:
        """Open a journal; None when its owner lives, or when it cannot be read."""
        try:
            lock = _lock(folder)
        except OSError:
            return None
        try:
            about = About(**json.loads(os.read(lock, 1 << 16)))
            if about.api == self._api and (folder / _ABOUT_FILE).exists():
                return Journal(folder, about, lock)
        except (OSError, ValueError, TypeError) as error:
            log.debug("the outbox %s is left alone: %s", folder, error)
        os.close(lock)
        return None


def _lock(folder: Path) -> int:
    """Make a journal ours until the descriptor that this gives is closed.

    Raises:
        FileNotFoundError: Nothing says whose it is.
        OSError: Its owner lives, or nobody knows.
    """
    file = os.open(folder / _ABOUT_FILE, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file


def _is_owned(folder: Path) -> bool:
    """Whether a worker that lives may have a journal open."""
    try:
        os.close(_lock(folder))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _refuse_older(folder: Path) -> None:
    """Say of items in text files, as earlier versions wrote them, that they are lost.

    How the job ended is written as it was, and is delivered.
    """
    older = [path for name in ("log", "results") for path in folder.glob(f"{name}-0*")]
    if older:
        words = "%s is of an earlier version: its log and results are not delivered"
        log.warning(words, folder, extra={"event": "outbox-not-kept"})
    for path in older:
        path.unlink()


def _read_final_status(folder: Path) -> PendingStatus | None:
    try:
        return PendingStatus(**json.loads((folder / _FINAL_STATUS_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _read_segments(folder: Path) -> tuple[int, tuple[LogSegment, ...]]:
    try:
        body = json.loads((folder / _CHAIN_FILE).read_bytes())
        return int(body["upto"]), tuple(LogSegment(**it) for it in body["segments"])
    except (OSError, ValueError, TypeError, LookupError):
        return 0, ()


def _attempt_of(folder: Path) -> int:
    try:
        return About(**json.loads((folder / _ABOUT_FILE).read_bytes())).attempt
    except (OSError, ValueError, TypeError):
        return 0


def _write(path: Path, data: bytes) -> None:
    """Write a small file, whole or not at all."""
    part = path.with_suffix(".part")
    part.touch(0o600)
    part.write_bytes(data)
    part.replace(path)


def _remove(folder: Path) -> None:
    """Remove a journal; nobody takes a half of it for a whole one."""
    removing = folder.with_name(f"{_REMOVING}{folder.name}")
    with contextlib.suppress(OSError):
        shutil.rmtree(folder.rename(removing), ignore_errors=True)


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
