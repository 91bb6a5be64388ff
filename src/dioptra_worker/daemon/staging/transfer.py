"""What all transfers of a job share; one input artifact's progress and deadline."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from dioptra_worker.common.files.archives import MAX_ARTIFACT_BYTES
from dioptra_worker.common.network.backoff import retry_until_available
from dioptra_worker.common.text.humanize import size
from dioptra_worker.errors import ArtifactError
from dioptra_worker.tracking.limits import MIN_RATE, disk_full_message
from dioptra_worker.tracking.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.common.network.outage_log import OutageLog
    from dioptra_worker.daemon.staging import store_download
    from dioptra_worker.daemon.staging.snapshot_cache import SnapshotCache
    from dioptra_worker.protocol.messages import Severity
    from dioptra_worker.supervision.time_limit import SetupDeadline

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TransferContext:
    """What all transfers of a job share.

    Attributes:
        api: What has everything, if slowly.
        launcher: Starts processes that download from a store.
        cache: What was downloaded before.
        deadline: When the job's set-up must be done.
        log: Puts a severity and a text into the job's log.
        outages: Says that a call has to wait for the API, and when it goes on.
        sleep: Waits for some seconds; raises when the job was stopped.
        retry_timeout: Seconds for which a call to the API is tried again.
    """

    api: DioptraApi
    launcher: store_download.DownloadLauncher
    cache: SnapshotCache
    deadline: SetupDeadline
    log: Callable[[Severity, str], object]
    outages: OutageLog
    sleep: Callable[[float], object]
    retry_timeout: float

    def retry(self, call: Callable[[], T], *, extra_timeout: float = 0.0) -> T:
        """Call the API until it answers; all of these calls may happen twice.

        Args:
            call: What to do.
            extra_timeout: Seconds beyond those that any call is tried for.

        Raises:
            ServiceUnavailable: If it did not answer in time.
        """
        return retry_until_available(
            call,
            seconds=self.retry_timeout + extra_timeout,
            sleep=self.sleep,
            on_wait=self.outages.on_wait,
            on_back=self.outages.on_back,
        )

    def check_cancelled(self) -> None:
        """Give up, by what *sleep* raises, when the job was stopped."""
        self.sleep(0.0)


class Transfer:
    """One artifact on its way: its progress is logged, and extends the deadline.

    Attributes:
        size: Its bytes, as far as they are known.
        missing: Whether its store has said that it does not have it.
    """

    def __init__(
        self,
        name: str,
        context: TransferContext,
        *,
        expected: int | None,
        disk: Path,
        progress: Callable[..., Progress] = Progress,
    ) -> None:
        """Prepare.

        Args:
            name: What the job calls the artifact.
            context: What all transfers share.
            expected: Its bytes, where they are known beforehand.
            disk: A folder on the disk that it has to fit on.
            progress: Makes what logs how far it is.
        """
        self.size = expected
        self.missing = False
        self._name = name
        self._context = context
        self._disk = disk
        self._words = ""
        self._total: int | None = None
        self._received = 0
        self._begin_progress = progress
        self._progress: Progress | None = None

    @contextlib.contextmanager
    def attempt(self, words: str, *, sized: bool = True) -> Iterator[None]:
        """Begin anew, from some source.

        Args:
            words: From which, such as ``"from its store"``.
            sized: Whether what comes has the size that the artifact has.
        """
        self._words = f"fetching input artifact {self._name!r} {words}"
        self._total = self.size if sized else None
        self._received = 0
        self._progress = None
        of = "" if self.size is None else f" ({size(self.size)})"
        with self._context.deadline.waiting_for(
            f"input artifact {self._name!r}{of} {words}"
        ):
            yield

    def begin(self, count: int) -> None:
        """So many bytes will come.

        Raises:
            ArtifactError: If they are too many.
        """
        self.size = self._total = count
        self._refuse_more_than_allowed(count)
        # A server that fetches all of it first may be silent that long.
        self._context.deadline.extend(count / MIN_RATE)
        free = shutil.disk_usage(self._disk).free
        if count > free:
            raise ArtifactError(
                disk_full_message(f"it has {size(count)}, and {size(free)} are left")
            )

    def received(self, count: int) -> None:
        """So many more bytes are there.

        Raises:
            ArtifactError: If there are too many.
        """
        self._received += count
        self._refuse_more_than_allowed(self._received)
        if self._progress is None:  # from now on: a server may have been silent before
            self._progress = self._begin_progress(
                self._words,
                total=self._total,
                log_line=lambda line: self._context.log("INFO", line),
            )
        self._progress.add(count)
        self._context.deadline.extend()

    def _refuse_more_than_allowed(self, count: int) -> None:
        if count > MAX_ARTIFACT_BYTES:
            raise ArtifactError(
                f"it has more than {size(MAX_ARTIFACT_BYTES)}, the most that a job"
                " can be given"
            )
