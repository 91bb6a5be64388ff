"""Stages in the artifacts that a job reads: from the cache, their store, or the API."""

from __future__ import annotations

import contextlib
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dioptra_worker.common.files.archives import MAX_ARTIFACT_BYTES, unpack
from dioptra_worker.common.files.removal import remove
from dioptra_worker.daemon.staging import api_download, store_download
from dioptra_worker.daemon.staging.transfer import Transfer
from dioptra_worker.errors import (
    ArtifactError,
    NotFound,
    RunnerError,
    ServiceUnavailable,
)
from dioptra_worker.provenance import signature
from dioptra_worker.tracking.download import SCHEMES
from dioptra_worker.tracking.limits import MIN_RATE, disk_full_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.api.models import Artifact, ArtifactParameter
    from dioptra_worker.common.files.workspace import Workspace
    from dioptra_worker.daemon.staging.transfer import TransferContext


class InputArtifacts:
    """Stages one job's input artifacts into its workspace; any thread may ask it.

    Attributes:
        digests: The SHA-256 of files that was computed while they came.
    """

    def __init__(self, context: TransferContext, space: Workspace) -> None:
        """Prepare; nothing is fetched yet.

        Args:
            context: What all transfers share.
            space: Where to.
        """
        self._context = context
        self._space = space
        self.digests: dict[Path, str] = {}

    def folder(self, artifact: ArtifactParameter) -> Path:
        """The folder that holds an artifact, and nothing else."""
        ids = artifact.artifact_id, artifact.artifact_snapshot_id
        return self._space.artifact(*ids)

    def stage_in(self, artifact: ArtifactParameter) -> None:
        """Stage an artifact in; it is whole when it has its name.

        Raises:
            ArtifactError: If it has been deleted, or cannot be kept here.
            ServiceError: If neither its store nor the API gave it.
            BundleError: If its archive cannot be unpacked.
        """
        context = self._context
        described = context.retry(lambda: context.api.artifact(artifact.artifact_id))
        _refuse_deleted(artifact, described)
        transfer = Transfer(
            artifact.name, context, expected=described.size, disk=self._space.root
        )
        with _translate_errors(artifact), self._space.scratch() as scratch:
            _refuse_nameless(artifact)
            folder = self.folder(artifact)
            folder.mkdir(parents=True, exist_ok=True)
            if artifact.is_dir:
                self._folder(artifact, transfer, scratch, folder)
            else:
                self._file(artifact, transfer, scratch, folder)

    def _file(
        self,
        artifact: ArtifactParameter,
        transfer: Transfer,
        scratch: Path,
        folder: Path,
    ) -> None:
        part = scratch / "part"
        key = _key(artifact)
        registered = transfer.size
        sha256 = self._context.cache.get(key, part)
        digests: Mapping[str, str] | None = {}
        if not sha256:
            digests = self._from_store(artifact, transfer, part)
            if digests is None:
                self._from_api(artifact, transfer, part)
            found = part.stat().st_size
            # What was replaced in its store is not this snapshot's content, and must
            # not be had from the cache under its name.
            if registered in {None, found}:
                sha256 = self._context.cache.add(key, part)
            else:
                self._context.log(
                    "WARNING",
                    f"input artifact {artifact.name!r} has {found:,} bytes, and had"
                    f" {registered:,} when it was registered: its store has another"
                    " file by now, and that is what the job reads",
                )
        if sha256 and not digests:  # of what was copied to or from the cache
            digests = {".": sha256}
        self._rename(part, folder / _name(artifact), digests or {})

    def _folder(
        self,
        artifact: ArtifactParameter,
        transfer: Transfer,
        scratch: Path,
        folder: Path,
    ) -> None:
        archive = scratch / "archive"
        key = f"{_key(artifact)}.tar.gz"
        cache = self._context.cache
        cached = cache.get(key, archive)
        if not cached:
            files = scratch / "files"
            digests = self._from_store(artifact, transfer, files)
            if digests is not None:
                name = _name(artifact)
                if cache.accepts(transfer.size or 0):
                    _pack(files, archive, name=name)
                    cache.add(key, archive)
                self._rename(files, folder / name, digests)
                return
            self._from_api(artifact, transfer, archive)
        what = f"input artifact {artifact.name!r}"
        unpack(
            archive,
            folder,
            what=what,
            max_bytes=MAX_ARTIFACT_BYTES,
            check_cancelled=self._on_unpacking,
        )
        if not cached:  # only now: what cannot be unpacked must not be had again
            cache.add(key, archive)

    def _rename(self, source: Path, target: Path, digests: Mapping[str, str]) -> None:
        """Give what has come its name; it is whole now."""
        source.rename(target)
        self.digests.update({target / name: it for name, it in digests.items()})

    def _on_unpacking(self) -> None:
        """Something is unpacked, which takes as long as it needs."""
        self._context.check_cancelled()
        self._context.deadline.extend()

    def _from_store(
        self, artifact: ArtifactParameter, transfer: Transfer, target: Path
    ) -> Mapping[str, str] | None:
        """Fetch straight from the store; digests of files, or None if it failed.

        What cannot be kept on this machine would not be from elsewhere either, so
        that is an error.
        """
        if not artifact.uri.startswith(tuple(f"{name}:" for name in SCHEMES)):
            return None
        try:
            with transfer.attempt("from its store"):
                return store_download.fetch(
                    self._context.launcher,
                    artifact.uri,
                    target,
                    is_dir=artifact.is_dir,
                    listener=transfer,
                    check_cancelled=self._context.check_cancelled,
                    min_rate=None if artifact.uri.startswith("s3:") else MIN_RATE,
                )
        except (NotFound, RunnerError, ServiceUnavailable) as error:
            transfer.missing = isinstance(error, NotFound)
            self._context.log(
                "WARNING",
                f"input artifact {artifact.name!r} did not come straight from its"
                f" store, so the REST API is asked for it: {error}",
            )
            _remove_partial(target)
            return None

    def _from_api(
        self, artifact: ArtifactParameter, transfer: Transfer, target: Path
    ) -> None:
        api_download.fetch(artifact, target, context=self._context, transfer=transfer)


def _key(artifact: ArtifactParameter) -> str:
    ids = artifact.artifact_id, artifact.artifact_snapshot_id
    return "artifacts/{}/snapshots/{}".format(*ids)


def _name(artifact: ArtifactParameter) -> str:
    return PurePosixPath(artifact.uri).name


def _refuse_deleted(artifact: ArtifactParameter, described: Artifact) -> None:
    """Say that an artifact was deleted; the API would answer 500 for its bytes."""
    if not described.is_deleted:
        return
    worker_run = signature(described.description)
    of = f" (worker run {worker_run})" if worker_run else ""
    raise ArtifactError(
        f"artifact {artifact.artifact_id}, input {artifact.name!r}, was"
        f" deleted{of}: submit the job with another one"
    )


def _refuse_nameless(artifact: ArtifactParameter) -> None:
    """Say that an address does not end with what can be a file's name here."""
    if _name(artifact) in {"", ".."} or "\0" in artifact.uri:
        raise ArtifactError(f"its address {artifact.uri!r} does not end with a name")


@contextlib.contextmanager
def _translate_errors(artifact: ArtifactParameter) -> Iterator[None]:
    """Say which artifact it is that cannot be kept here, and why."""
    what = f"input artifact {artifact.name!r} cannot be used"
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(f"{what}: {error}") from error
    except OSError as error:
        words = disk_full_message(error.strerror or str(error))
        raise ArtifactError(f"{what}: {words}") from error


def _remove_partial(target: Path) -> None:
    """Remove what an attempt has left, before the next one."""
    if target.is_dir():
        remove(target)
    for path in target.parent.glob(f"{target.name}*"):  # also what a library left
        if path.is_dir():
            remove(path)
        else:
            path.unlink(missing_ok=True)


def _pack(files: Path, archive: Path, *, name: str) -> None:
    """Make an archive of a folder as the API makes one, but without compressing."""
    with tarfile.open(archive, "w:gz", compresslevel=0) as tar:
        tar.add(files, arcname=name)
