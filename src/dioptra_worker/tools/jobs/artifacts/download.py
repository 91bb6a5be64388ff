"""Saves artifacts here: whole or not at all, and over nothing that was there before."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.archives import MAX_ARTIFACT_BYTES, unpack
from dioptra_worker.errors import BundleError
from dioptra_worker.tools.jobs.artifacts.file_names import ARCHIVE, file_names
from dioptra_worker.tools.jobs.artifacts.selection import open_contents
from dioptra_worker.tools.jobs.errors import CannotSave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact


@dataclass(frozen=True, kw_only=True)
class Saved:
    """An artifact that was saved.

    Attributes:
        artifact: The artifact.
        path: Where it is: a file or a folder.
        size: How many bytes came.
    """

    artifact: Artifact
    path: Path
    size: int


@dataclass(frozen=True, kw_only=True)
class Saver:
    """Saves artifacts in a folder.

    Attributes:
        api: A session with the API.
        folder: Where; made if it is not there.
        force: Whether to replace what is there already.
        on_progress: Told about each artifact how many bytes have come, now and then.
    """

    api: DioptraApi
    folder: Path
    force: bool = False
    on_progress: Callable[[Artifact, int], object] = lambda _artifact, _size: None

    def save(self, artifacts: Sequence[Artifact]) -> Iterator[Saved]:
        """Save artifacts, each as soon as it is whole; folders are unpacked.

        Args:
            artifacts: The artifacts.

        Raises:
            CannotSave: One of them is there already, which is told before anything is
                downloaded; or there is no room or no right to save it.
            NoContents: One was deleted, or the API cannot read it.
            ServiceError: The API refused, or cannot be asked.
        """
        names = file_names(artifacts)
        if self.folder.exists() and not self.folder.is_dir():
            raise CannotSave(f"{self.folder} is no folder: give another one with --to")
        with _sentence(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        for artifact in artifacts:
            self._check(artifact, self.folder / names[artifact.id])
        for artifact in artifacts:
            yield self._save(artifact, self.folder / names[artifact.id])

    def _check(self, artifact: Artifact, target: Path) -> None:
        """Refuse to overwrite, or to have a folder take the place of a file."""
        if not target.exists() and not target.is_symlink():
            return
        if not self.force:
            raise CannotSave(f"{target} is there already: --force replaces it")
        if target.is_symlink() or target.is_dir() != artifact.is_dir:
            kind = "folder" if artifact.is_dir else "file"
            raise CannotSave(
                f"{target} is there already and is no {kind}, as artifact {artifact.id}"
                " is: remove it, or give another folder with --to"
            )

    def _save(self, artifact: Artifact, target: Path) -> Saved:
        # In the same folder: only within a file system is moving at once.
        with (
            _sentence(target),
            tempfile.TemporaryDirectory(
                prefix=".dioptra-worker-", dir=self.folder, ignore_cleanup_errors=True
            ) as name,
        ):
            room = Path(name)
            came = room / f"came{ARCHIVE if artifact.is_dir else ''}"
            size = self._download(artifact, came)
            if artifact.is_dir:
                came = _unpacked(artifact, came, room / "unpacked")
            self._check(artifact, target)  # downloading may have taken hours
            if artifact.is_dir and target.exists():
                target.rename(room / "replaced")
            came.replace(target)
        return Saved(artifact=artifact, path=target, size=size)

    def _download(self, artifact: Artifact, file: Path) -> int:
        size = 0
        with open_contents(self.api, artifact) as download, file.open("xb") as output:
            for piece in download:
                size += len(piece)
                if size > MAX_ARTIFACT_BYTES:
                    raise CannotSave(
                        f"artifact {artifact.id} is larger than"
                        f" {MAX_ARTIFACT_BYTES:,} bytes"
                    )
                output.write(piece)
                self.on_progress(artifact, size)
        return size


def _unpacked(artifact: Artifact, archive: Path, folder: Path) -> Path:
    """What a folder's archive holds: one folder, unless the API changes its ways."""
    try:
        unpack(
            archive,
            folder,
            what=f"artifact {artifact.id}",
            max_bytes=MAX_ARTIFACT_BYTES,
        )
    except BundleError as error:
        raise CannotSave(str(error)) from error
    archive.unlink()
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


@contextmanager
def _sentence(target: Path) -> Iterator[None]:
    """Say what the file system did not do, and about what."""
    try:
        yield
    except OSError as error:
        raise CannotSave(
            f"{target} cannot be saved: {error.strerror or error}"
        ) from error
