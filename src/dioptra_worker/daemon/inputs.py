"""Brings the artifacts that a job reads: from the cache, their store, or the API."""

from __future__ import annotations

import contextlib
import logging
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from dioptra_worker.daemon import direct
from dioptra_worker.daemon.verdict import duration
from dioptra_worker.errors import RunnerError, ServiceUnavailable, WorkerError
from dioptra_worker.provenance import signature
from dioptra_worker.runner.workspace import MAX_BYTES, Workspace, unpack
from dioptra_worker.tracking.incoming import SCHEMES
from dioptra_worker.tracking.progress import Progress, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact, ArtifactParameter
    from dioptra_worker.daemon.cache import SnapshotCache
    from dioptra_worker.daemon.setup_limit import SetupLimit

log = logging.getLogger("dioptra_worker.inputs")

LARGE = 64 << 20
"""Bytes from which the job's log says that the API is waited for."""
SLOWEST = 4 << 20
"""Bytes a second at which the API is expected to fetch from its store, at least."""
UNKNOWN = 600.0
"""Seconds that it may take when nobody knows how much it is."""


class Patiently(Protocol):
    """Calls the API until it answers, or for too long."""

    def __call__(self, call: Callable[[], Any], *, more: float = 0.0) -> Any:
        """Call; *more* are seconds beyond those that any call has."""
        ...


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
    maker: direct.Maker
    cache: SnapshotCache
    limit: SetupLimit
    say: Callable[[str, str], object]


class ArtifactDeleted(WorkerError):
    """An input artifact has been deleted."""


class Inputs:
    """Brings one job's input artifacts into its workspace; any thread may ask it."""

    def __init__(
        self,
        way: Way,
        space: Workspace,
        *,
        patiently: Patiently,
        go_on: Callable[[], object],
    ) -> None:
        """Prepare; nothing is fetched yet.

        Args:
            way: What with.
            space: Where to.
            patiently: Calls the API.
            go_on: Called now and then; may raise to give up.
        """
        self._way = way
        self._space = space
        self._patiently = patiently
        self._go_on = go_on

    def folder(self, artifact: ArtifactParameter) -> Path:
        """The folder that holds an artifact, and nothing else."""
        ids = artifact.artifact_id, artifact.artifact_snapshot_id
        return self._space.artifact(*ids)

    def bring(self, artifact: ArtifactParameter) -> None:
        """Bring an artifact; it is whole when it has its name.

        Raises:
            ArtifactDeleted: If it has been deleted.
            ServiceError: If neither its store nor the API gave it.
            BundleError: If its archive cannot be unpacked.
        """
        way = self._way
        described = self._patiently(lambda: way.api.artifact(artifact.artifact_id))
        _refuse_deleted(artifact, described)
        folder = self.folder(artifact)
        folder.mkdir(parents=True, exist_ok=True)
        with self._space.scratch() as scratch:
            transfer = _Transfer(artifact, way, described.size)
            if artifact.is_dir:
                self._folder(artifact, transfer, scratch, folder)
            else:
                self._file(artifact, transfer, scratch, folder)

    def _file(
        self,
        artifact: ArtifactParameter,
        transfer: _Transfer,
        scratch: Path,
        folder: Path,
    ) -> None:
        part = scratch / "part"
        key = _key(artifact)
        if not self._way.cache.get(key, part):
            if not self._direct(artifact, transfer, part):
                self._through_api(artifact, transfer, part)
            self._way.cache.keep(key, part)
        part.rename(folder / PurePosixPath(artifact.uri).name)

    def _folder(
        self,
        artifact: ArtifactParameter,
        transfer: _Transfer,
        scratch: Path,
        folder: Path,
    ) -> None:
        archive = scratch / "archive"
        key = f"{_key(artifact)}.tar.gz"
        cache = self._way.cache
        if not cache.get(key, archive):
            files = scratch / "files"
            if self._direct(artifact, transfer, files):
                name = PurePosixPath(artifact.uri).name
                if cache.takes(transfer.size or 0):
                    _pack(files, archive, name=name)
                    cache.keep(key, archive)
                files.rename(folder / name)
                return
            self._through_api(artifact, transfer, archive)
            cache.keep(key, archive)
        what = f"input artifact {artifact.name!r}"
        unpack(archive, folder, what=what, max_bytes=MAX_BYTES, go_on=self._go_on)

    def _direct(
        self, artifact: ArtifactParameter, transfer: _Transfer, target: Path
    ) -> bool:
        """Fetch straight from the store; whether that went well."""
        if not artifact.uri.startswith(tuple(f"{name}:" for name in SCHEMES)):
            return False
        try:
            with transfer.watched("from its store"):
                direct.fetch(
                    self._way.maker,
                    artifact.uri,
                    target,
                    is_dir=artifact.is_dir,
                    listener=transfer,
                    go_on=self._go_on,
                )
        except (RunnerError, ServiceUnavailable) as error:
            self._way.say(
                "WARNING",
                f"input artifact {artifact.name!r} did not come straight from its"
                f" store, so the REST API is asked for it: {error}",
            )
            return False
        return True

    def _through_api(
        self, artifact: ArtifactParameter, transfer: _Transfer, target: Path
    ) -> None:
        """Fetch through the API, which first fetches all of it itself."""
        way = self._way
        known = transfer.size or way.api.artifact_size(artifact.artifact_id)
        patience = UNKNOWN if known is None else known / SLOWEST
        if known is None or known >= LARGE:
            much = "" if known is None else f" ({size(known)})"
            way.say(
                "INFO",
                f"waiting for the REST API, which fetches input artifact"
                f" {artifact.name!r}{much} from its store before it sends it: up to"
                f" {duration(patience)} more than any answer may take",
            )

        def download() -> None:
            way.limit.put_off(patience)
            with transfer.watched("through the REST API", sized=not artifact.is_dir):
                way.api.artifact_contents(
                    artifact, target, self._heard(transfer), patience=patience
                )
            if not artifact.is_dir and known is not None:
                _see_that_whole(artifact, target, known)

        self._patiently(download, more=patience)

    def _heard(self, transfer: _Transfer) -> Callable[[int], None]:
        def arrived(count: int) -> None:
            self._go_on()
            transfer.came(count)

        return arrived


class _Transfer:
    """One artifact on its way: its progress is told, and puts the deadline off."""

    def __init__(
        self, artifact: ArtifactParameter, way: Way, expected: int | None
    ) -> None:
        self.size = expected
        self._name = artifact.name
        self._way = way
        self._words = ""
        self._progress: Progress | None = None

    @contextlib.contextmanager
    def watched(self, words: str, *, sized: bool = True) -> Iterator[None]:
        """Begin anew, by some way."""
        self._words = f"fetching input artifact {self._name!r} {words}"
        self._count(self.size if sized else None)
        of = "" if self.size is None else f" ({size(self.size)})"
        with self._way.limit.awaiting(f"input artifact {self._name!r}{of} {words}"):
            yield

    def begin(self, count: int) -> None:
        """So many bytes will come."""
        self.size = count
        self._count(count)

    def came(self, count: int) -> None:
        """So many more bytes are there."""
        if self._progress is not None:
            self._progress.add(count)
        self._way.limit.put_off()

    def _count(self, total: int | None) -> None:
        self._progress = Progress(
            self._words, total=total, tell=lambda line: self._way.say("INFO", line)
        )


def _key(artifact: ArtifactParameter) -> str:
    ids = artifact.artifact_id, artifact.artifact_snapshot_id
    return "artifacts/{}/snapshots/{}".format(*ids)


def _refuse_deleted(artifact: ArtifactParameter, described: Artifact) -> None:
    """Say that an artifact was deleted; the API would answer 500 for its bytes."""
    if not described.is_deleted:
        return
    worker_run = signature(described.description)
    of = f" (worker run {worker_run})" if worker_run else ""
    raise ArtifactDeleted(
        f"artifact {artifact.artifact_id}, input {artifact.name!r}, was"
        f" deleted{of}: submit the job with another one"
    )


def _see_that_whole(artifact: ArtifactParameter, file: Path, expected: int) -> None:
    found = file.stat().st_size
    if found != expected:
        raise ServiceUnavailable(
            f"input artifact {artifact.name!r} came through the REST API with {found}"
            f" bytes instead of {expected}: its store has another file than when it"
            " was registered, or the transfer was cut off",
            service="Dioptra API",
        )


def _pack(files: Path, archive: Path, *, name: str) -> None:
    """Make an archive of a folder as the API makes one, but without compressing."""
    with tarfile.open(archive, "w:gz", compresslevel=0) as tar:
        tar.add(files, arcname=name)
