"""The artifacts of several jobs in one zip file, which is written while it is read."""

from __future__ import annotations

import io
import time
import zipfile
from typing import TYPE_CHECKING, Self

from dioptra_worker.tools.jobs.artifacts.file_names import (
    ARCHIVE,
    file_name,
    file_names,
)
from dioptra_worker.tools.jobs.artifacts.selection import open_contents
from dioptra_worker.tools.jobs.errors import NoContents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact
    from dioptra_worker.tools.jobs.job_row import JobRow

MISSING = "missing.txt"
"""The file that says what is not in the archive, and why."""


class Archive:
    """A zip file in pieces; what an artifact store no longer has is named in it.

    Args:
        api: A session with the API.
        found: The jobs and their artifacts.
    """

    length = None  # nobody knows before it is read

    def __init__(
        self, api: DioptraApi, found: Sequence[tuple[JobRow, Sequence[Artifact]]]
    ) -> None:
        self._api = api
        self._found = found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open but while a piece is made."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces.

        Raises:
            ServiceError: The API broke off in the middle of an artifact.
        """
        written = _Written()
        now = time.localtime()[:6]
        missing = []
        with zipfile.ZipFile(written, "w") as archive:
            for name, artifact in self._named():
                try:
                    download = open_contents(self._api, artifact)
                except NoContents as error:
                    missing.append(f"{name}: {error}")
                    continue
                entry = zipfile.ZipInfo(name, date_time=now)
                # It may be larger than 4 GiB, which must be said before it is known.
                with (
                    download,
                    archive.open(entry, "w", force_zip64=True) as output,
                ):
                    for piece in download:
                        output.write(piece)
                        if written.has_some:
                            yield written.take()
            if missing:
                archive.writestr(MISSING, "\n".join([*missing, ""]))
        yield written.take()  # an end there always is

    def _named(self) -> Iterator[tuple[str, Artifact]]:
        for job, artifacts in self._found:
            folder = file_name(f"{job.id}-{job.name}", otherwise=str(job.id))
            names = file_names(artifacts)
            for artifact in artifacts:
                ending = ARCHIVE if artifact.is_dir else ""
                yield f"{folder}/{names[artifact.id]}{ending}", artifact


class _Written(io.RawIOBase):
    """What was written since one has looked; nobody can go back in it."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        self._bytes += data
        return len(data)

    @property
    def has_some(self) -> bool:
        """Whether there is something to take."""
        return bool(self._bytes)

    def take(self) -> bytes:
        """Take it away."""
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken
