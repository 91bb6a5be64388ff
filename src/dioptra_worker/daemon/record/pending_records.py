"""Manifests of jobs that are yet to be stored: files of the worker's own.

They outlive the daemon: a worker of the same machine that finds one whose owner is gone
goes on with it. Whose it is, a lock says, which the system lets go with its owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from dioptra_worker.common.files.trusted_folder import make_private
from dioptra_worker.provenance.manifest import split

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_RECORD_AGE = 30 * 24 * 3600.0
"""Seconds after which a manifest that nobody could store is removed."""
_FOLDER = "records"
_SUFFIX = ".json"
_NEW_PREFIX = "new-"
_MAX_ABOUT_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class About:
    """Which job a manifest is of.

    Attributes:
        job_id: The job.
        api: The address of the API that knows the job.
        end: The time that the last line of the job's log has.
        said_after: How many lines of the log are neither in the manifest nor the last.
    """

    job_id: int
    api: str
    end: str
    said_after: int = 0


class PendingRecord:
    """One manifest, ours while it is open: after one line that says of what it is."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Open one that is ours; see `PendingRecords`.

        Raises:
            OSError: It cannot be read.
            ValueError: It is none.
        """
        self.path = path
        self._descriptor = descriptor
        head = os.pread(descriptor, _MAX_ABOUT_BYTES, 0).partition(b"\n")[0]
        try:
            self.about = About(**json.loads(head))
        except TypeError as error:
            raise ValueError(str(error)) from None
        self._begin = len(head) + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def open_manifest(self) -> int:
        """A descriptor of the manifest and of what was signed of it; see `split`.

        The caller closes it.
        """
        found = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        os.lseek(found, self._begin, os.SEEK_SET)
        return found

    def manifest(self) -> bytes:
        """The manifest, which is one line; behind it is what was signed of it."""
        size = os.fstat(self._descriptor).st_size
        return split(os.pread(self._descriptor, size, self._begin))[0]

    def remove(self) -> None:
        """It is stored, or never will be."""
        with contextlib.suppress(OSError):
            self.path.unlink()


class PendingRecords:
    """The manifests in one worker's folder; several workers may share it."""

    def __init__(self, folder: Path, *, api: str) -> None:
        """Prepare; nothing is made yet.

        Args:
            folder: The worker's own folder.
            api: The API's address: job numbers of another mean other jobs.
        """
        self._folder = folder / _FOLDER
        self._api = api

    def keep(
        self,
        job_id: int,
        *,
        end: str,
        manifest: bytes,
        evidence: bytes = b"",
        said_after: int = 0,
    ) -> Path:
        """Keep a manifest until it is stored.

        Args:
            job_id: The job.
            end: The time that the last line of its log has.
            manifest: The manifest.
            evidence: What was signed of it.
            said_after: How many lines the log has beside those of the manifest and the
                last.

        Raises:
            OSError: It cannot be kept.
        """
        make_private(self._folder)
        about = About(job_id=job_id, api=self._api, end=end, said_after=said_after)
        descriptor, name = tempfile.mkstemp(prefix=_NEW_PREFIX, dir=self._folder)
        new = self._folder / name
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(asdict(about)).encode() + b"\n")
                file.write(manifest + evidence)
            token = new.name.removeprefix(_NEW_PREFIX)
            return new.rename(self._folder / f"job-{job_id}-{token}{_SUFFIX}")
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    def open(self, path: Path) -> PendingRecord | None:
        """Make a manifest ours; None when another has it, or there is none any more."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:  # else somebody has just stored it
                record = PendingRecord(path, descriptor)
                if record.about.api == self._api:
                    return record
        except (OSError, ValueError):
            pass
        os.close(descriptor)
        return None

    def left(self, *, age: float) -> Iterator[Path]:
        """Manifests that were not touched for so many seconds, the oldest first."""
        now = time.time()
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime, path))
        for changed, path in sorted(found):
            if now - changed > MAX_RECORD_AGE:
                path.unlink(missing_ok=True)
            elif now - changed > age:
                yield path
