"""One input artifact on its way: what the job's log says of it, and its deadline."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.common.archives import MAX_ARTIFACT_BYTES
from dioptra_worker.common.humanize import size
from dioptra_worker.errors import ArtifactError
from dioptra_worker.tracking.limits import MIN_RATE, disk_full_message
from dioptra_worker.tracking.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.daemon.staging import store_download
    from dioptra_worker.daemon.staging.snapshot_cache import SnapshotCache
    from dioptra_worker.protocol.messages import Severity
    from dioptra_worker.supervision.job_clock import SetupDeadline


@dataclass(frozen=True, kw_only=True)
class Way:
    """What inputs are brought with.

    Attributes:
        api: The way that there always is.
        maker: Makes processes that fetch from a store.
        cache: What was fetched before.
        limit: How long it may take.
        say: Puts a severity and a text into the job's log.
    """

    api: DioptraApi
    maker: store_download.Maker
    cache: SnapshotCache
    limit: SetupDeadline
    say: Callable[[Severity, str], object]


class Transfer:
    """One artifact on its way: its progress is told, and puts the deadline off.

    Attributes:
        size: Its bytes, as far as they are known.
        missing: Whether its store has said that it does not have it.
    """

    def __init__(
        self,
        name: str,
        way: Way,
        *,
        expected: int | None,
        room: Path,
        progress: Callable[..., Progress] = Progress,
    ) -> None:
        """Prepare.

        Args:
            name: What the job calls the artifact.
            way: What it is brought with.
            expected: Its bytes, where they are known beforehand.
            room: A folder on the disk that it has to fit on.
            progress: Makes what tells how far it is.
        """
        self.size = expected
        self.missing = False
        self._name = name
        self._way = way
        self._room = room
        self._words = ""
        self._total: int | None = None
        self._arrived = 0
        self._begin_progress = progress
        self._progress: Progress | None = None

    @contextlib.contextmanager
    def watched(self, words: str, *, sized: bool = True) -> Iterator[None]:
        """Begin anew, by some way.

        Args:
            words: Which, such as ``"from its store"``.
            sized: Whether what comes has the size that the artifact has.
        """
        self._words = f"fetching input artifact {self._name!r} {words}"
        self._total = self.size if sized else None
        self._arrived = 0
        self._progress = None
        of = "" if self.size is None else f" ({size(self.size)})"
        with self._way.limit.waiting_for(f"input artifact {self._name!r}{of} {words}"):
            yield

    def begin(self, count: int) -> None:
        """So many bytes will come.

        Raises:
            ArtifactError: If they are too many.
        """
        self.size = self._total = count
        self._refuse_more_than_allowed(count)
        self._way.limit.extend(count / MIN_RATE)  # a server may be silent that long
        free = shutil.disk_usage(self._room).free
        if count > free:
            raise ArtifactError(
                disk_full_message(f"it has {size(count)}, and {size(free)} are left")
            )

    def received(self, count: int) -> None:
        """So many more bytes are there.

        Raises:
            ArtifactError: If there are too many.
        """
        self._arrived += count
        self._refuse_more_than_allowed(self._arrived)
        if self._progress is None:  # from now on: a server may have been silent before
            self._progress = self._begin_progress(
                self._words,
                total=self._total,
                log_line=lambda line: self._way.say("INFO", line),
            )
        self._progress.add(count)
        self._way.limit.extend()

    def _refuse_more_than_allowed(self, count: int) -> None:
        if count > MAX_ARTIFACT_BYTES:
            raise ArtifactError(
                f"it has more than {size(MAX_ARTIFACT_BYTES)}, the most that a job"
                " can be given"
            )
