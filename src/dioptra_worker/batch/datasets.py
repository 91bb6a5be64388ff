"""Works on one set of a data set after the other; one archive on disk at a time.

A data set is an artifact that is a folder; its top-level folders are its sets.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.batch.base import BaseWorker
from dioptra_worker.batch.errors import BadBatch, MissingDatasetArchive
from dioptra_worker.common.files.archives import MAX_ARTIFACT_BYTES, unpack
from dioptra_worker.common.files.removal import remove
from dioptra_worker.errors import WorkerError
from dioptra_worker.provenance import DELETED
from dioptra_worker.sdk.client.errors import StatusCodeError
from dioptra_worker.sdk.client.files import FileTypes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger("dioptra_worker.batch")

CONTENTS = "contents"
COMPLETE = "finished"
"""The status of the job that made a data set, when the data set is whole."""


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        id: The artifact's id.
        path: Its folder, where the job has it already.
    """

    id: int
    path: Path | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Set:
    """One set of a data set.

    Attributes:
        name: Its folder's name.
        dataset: The data set.
        path: Where its files are, while it is processed.
    """

    name: str
    dataset: Dataset
    path: Path = Path()

    @property
    def id(self) -> str:
        """What names it everywhere: ``<data set>:<set>``."""
        return f"{self.dataset.id}:{self.name}"

    def __str__(self) -> str:
        """How the log names it."""
        return f"set {self.id}"


class DatasetWorker(BaseWorker):
    """Base class of workers that process the sets of data sets.

    Override `process_set`. In a job, ``run()`` takes every set of every folder among
    the job's input artifacts, and ``run(sets=["12:train"])`` those; on a laptop,
    ``--set 12:train`` downloads what is asked for.
    """

    def __init__(
        self,
        description: str = "Dioptra dataset worker",
        support_cache: bool = False,
    ) -> None:
        """Prepare.

        Args:
            description: What the worker does.
            support_cache: As for `ElementsWorker`; nothing here uses it.
        """
        super().__init__(description, support_cache)
        self._downloaded: tuple[Dataset, Path] | None = None
        self.parser.add_argument(
            "--set",
            type=_set_argument,
            nargs="+",
            default=[],
            help="one or more sets, as <artifact id>:<set name>, such as 12:train",
        )

    def process_set(self, item: Set) -> None:
        """Process one set; an exception makes this set failed, no other.

        Args:
            item: The set; its files are below ``item.path``.
        """
        raise NotImplementedError

    def list_sets(self) -> Iterator[Set]:
        """What to process when `run` is not told: the job's inputs, and ``--set``."""
        yield from self.list_process_sets()
        yield from self.args.set

    def list_process_sets(self) -> Iterator[Set]:
        """The sets of every folder among the job's input artifacts; none elsewhere."""
        if self.bridge is None:
            return
        for item in self.bridge.context.inputs.values():
            if item.path.is_dir():
                dataset = Dataset(item.artifact_id, item.path)
                folders = (entry for entry in item.path.iterdir() if entry.is_dir())
                yield from (Set(entry.name, dataset) for entry in sorted(folders))

    def run(self, sets: Iterable[str] | None = None) -> dict[str, int]:
        """Process every set that nobody else has, and go on whatever fails.

        Args:
            sets: Sets as ``<artifact id>:<set name>``; by default see `list_sets`.

        Returns:
            How many were ``completed``, ``skipped`` and ``failed``.

        Raises:
            WorkerFailed: In a job, if there is nothing to process or all failed.
            BadBatch: If a set cannot be made out.
        """
        with self.preparation():
            found = list(self.list_sets() if sets is None else map(_parse_set, sets))
        try:
            return self.run_batch(found, self._process, noun="set")
        finally:
            self.cleanup_downloaded_artifact()

    def download_dataset_artifact(self, dataset: Dataset) -> None:
        """Have a data set on disk; the one that was downloaded before it is removed.

        Nothing is downloaded where the folder for what is downloaded (``--extras-dir``)
        has it: as the folder ``dataset-12``, or as the archive ``dataset-12.tar.gz``,
        which is unpacked. These stay.

        Raises:
            MissingDatasetArchive: It is no whole folder, was deleted, or the archive
                that is there cannot be unpacked.
        """
        if self._downloaded is not None and self._downloaded[0] == dataset:
            return
        self.cleanup_downloaded_artifact()
        extras = self.extras_directory()
        kept = _kept_folder(extras, dataset)
        if dataset.path is not None or kept is not None:
            return
        archive = _kept_archive(extras, dataset)
        if archive is None:
            self._check_complete(dataset)
        # Nobody else finds it there half done, nor takes it for what was kept.
        folder = Path(tempfile.mkdtemp(prefix=f".dataset-{dataset.id}-", dir=extras))
        self._downloaded = (dataset, folder)
        if archive is not None:
            log.info("Unpacking data set %d from %s", dataset.id, archive)
            self._unpack_kept(archive, dataset, folder)
            return
        log.info("Downloading data set %d", dataset.id)
        archive = self.api_client().artifacts.get_contents(
            dataset.id,
            file_type=FileTypes.TAR_GZ,
            output_dir=folder,
            file_stem=CONTENTS,
        )
        _unpack(archive, dataset, folder)
        archive.unlink()

    @property
    def downloaded_dataset_artifact(self) -> Path | None:
        """The folder of the data set that was downloaded last; None without one."""
        return None if self._downloaded is None else self._downloaded[1]

    def cleanup_downloaded_artifact(self) -> None:
        """Remove the data set that was downloaded last, if any."""
        if self._downloaded is not None:
            remove(self._downloaded[1])
            self._downloaded = None

    def _process(self, item: Set) -> None:
        path = self._dataset_folder(item.dataset, item.name)
        if not path.is_dir():
            raise MissingDatasetArchive(
                f"data set {item.dataset.id} has no set {item.name!r}"
            )
        self.process_set(Set(item.name, item.dataset, path))

    def _dataset_folder(self, dataset: Dataset, name: str) -> Path:
        """A set's folder on disk, where it should be at least."""
        if dataset.path is not None:
            return dataset.path / name
        self.download_dataset_artifact(dataset)
        if self._downloaded is None:
            kept = _kept_folder(self.extras_directory(), dataset)
            assert kept is not None
            inner = kept / name
            return inner if inner.is_dir() else _only_folder(kept, dataset) / name
        return _only_folder(self._downloaded[1] / CONTENTS, dataset) / name

    def _unpack_kept(self, archive: Path, dataset: Dataset, folder: Path) -> None:
        try:
            _unpack(archive, dataset, folder)
        except (WorkerError, OSError) as error:
            raise MissingDatasetArchive(
                f"{str(archive)!r} cannot be unpacked: {error}. Remove it to have data"
                f" set {dataset.id} downloaded"
            ) from error

    def _check_complete(self, dataset: Dataset) -> None:
        """Refuse what is no folder, was deleted, or is not finished."""
        artifact = self.api_client().artifacts.get_by_id(dataset.id)
        if str(artifact.get("description", "")).startswith(DELETED):
            raise MissingDatasetArchive(f"data set {dataset.id} was deleted")
        if not artifact.get("isDir", True):
            raise MissingDatasetArchive(
                f"artifact {dataset.id} is a file: a data set is a folder of sets"
            )
        try:
            status = self.api_client().jobs.get_status(artifact["job"])["status"]
        except StatusCodeError:
            log.warning(
                "the job that made data set %d was deleted; its state is not known",
                dataset.id,
            )
            return
        if status != COMPLETE:
            raise MissingDatasetArchive(
                f"data set {dataset.id} is not complete: job {artifact['job']}, which"
                f" makes it, is {status}"
            )


def _kept_folder(extras: Path, dataset: Dataset) -> Path | None:
    """The folder of a data set that somebody has put there; an empty one is none."""
    folder = extras / f"dataset-{dataset.id}"
    for place in (folder / CONTENTS, folder):
        if place.is_dir() and any(entry.is_dir() for entry in place.iterdir()):
            return place
    return None


def _kept_archive(extras: Path, dataset: Dataset) -> Path | None:
    """The archive of a data set that is there already."""
    folder = extras / f"dataset-{dataset.id}"
    for place in (Path(f"{folder}.tar.gz"), folder / f"{CONTENTS}.tar.gz"):
        if place.is_file():
            return place
    return None


def _unpack(archive: Path, dataset: Dataset, folder: Path) -> None:
    unpack(
        archive,
        folder / CONTENTS,
        what=f"data set {dataset.id}",
        max_bytes=MAX_ARTIFACT_BYTES,
    )


def _only_folder(folder: Path, dataset: Dataset) -> Path:
    """The artifact's own folder within its archive."""
    entries = list(folder.iterdir())
    if len(entries) != 1 or not entries[0].is_dir():
        raise MissingDatasetArchive(f"the archive of data set {dataset.id} is empty")
    return entries[0]


def _parse_set(text: str) -> Set:
    id_, separator, name = str(text).partition(":")
    if not separator or not id_.isdecimal() or not name or "/" in name or name == "..":
        raise BadBatch(
            f"{text!r} is no set: give <artifact id>:<set name>, such as 12:train"
        )
    return Set(name, Dataset(int(id_)))


def _set_argument(text: str) -> Set:
    """The same for the command line."""
    try:
        return _parse_set(text)
    except BadBatch as error:
        raise argparse.ArgumentTypeError(str(error)) from None
