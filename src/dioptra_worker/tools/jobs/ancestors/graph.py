"""A lineage: jobs, the artifacts that they have read, and the jobs that made those."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dioptra_worker.provenance.manifest import are_same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.provenance.manifest import FileDigest

Source = Literal["manifest", "mlflow", "api", "none"]
"""Who tells of a job: its manifest, its MLflow run's tags, the REST API, or nobody."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """That a job has read an artifact.

    Attributes:
        name: What the job's task graph calls it.
        artifact: The artifact.
        snapshot: Its immutable state.
        uri: Where the store had it; empty if nobody tells.
        files: What was read, by the job's manifest; empty without one.
    """

    name: str
    artifact: int
    snapshot: int
    uri: str = ""
    files: tuple[FileDigest, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JobNode:
    """A job.

    Attributes:
        id: The job.
        is_deleted: Whether the REST API has it no more.
        status: As Dioptra calls it; empty if nobody tells.
        entrypoint: The name of its entrypoint; empty if nobody tells.
        snapshot: Its entrypoint's immutable state; 0 if nobody tells.
        worker_run: The id of its worker run; empty if nobody tells.
        run_id: Its MLflow run; empty if it has none, or nobody tells.
        manifest: The SHA-256 of its manifest; empty without one.
        source: Who tells of it.
        reads: The artifacts that it has read.
        wrote: The files that it has written, by their artifact's address, as its
            manifest has them.
        trouble: What is wrong with what is kept of it; empty if nothing is.
    """

    id: int
    is_deleted: bool = False
    status: str = ""
    entrypoint: str = ""
    snapshot: int = 0
    worker_run: str = ""
    run_id: str = ""
    manifest: str = ""
    source: Source = "none"
    reads: tuple[Read, ...] = ()
    wrote: Mapping[str, tuple[FileDigest, ...]] = field(default_factory=dict)
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class ArtifactNode:
    """An artifact.

    Attributes:
        id: The artifact.
        is_unknown: Whether the REST API has no record of it.
        is_deleted: Whether its contents were deleted.
        job: The job that made it; 0 if nobody tells.
        uri: Where the store has it; empty if nobody tells.
        size: Its bytes by the REST API; None for a folder, or where it does not tell.
    """

    id: int
    is_unknown: bool = False
    is_deleted: bool = False
    job: int = 0
    uri: str = ""
    size: int | None = None

    @property
    def file_name(self) -> str:
        """Its file or folder; empty if nobody tells."""
        return self.uri.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The files of an artifact.

    Attributes:
        files: The files; empty if no manifest tells.
        job: Whose manifest tells.
        by_maker: Whether that is the job that made it, or one that has read it.
    """

    files: tuple[FileDigest, ...] = ()
    job: int = 0
    by_maker: bool = False


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The jobs and artifacts that a result came from; the nearest come first.

    Attributes:
        job: The job that it is the lineage of; 0 if it is that of an artifact.
        artifact: The artifact that it is the lineage of; 0 if it is that of a job.
        jobs: All jobs of it, by their ids.
        artifacts: All artifacts of it, by their ids.
        left_out: Why some jobs are not in it; empty if all are.
        notes: What could not be asked for.
    """

    job: int = 0
    artifact: int = 0
    jobs: Mapping[int, JobNode]
    artifacts: Mapping[int, ArtifactNode]
    left_out: str = ""
    notes: tuple[str, ...] = ()

    def contents(self, artifact: int) -> Contents:
        """The files of an artifact as its maker's manifest has them, or a reader's."""
        node = self.artifacts[artifact]
        maker = self.jobs.get(node.job)
        if maker is not None and (files := maker.wrote.get(node.uri)):
            return Contents(files=files, job=maker.id, by_maker=True)
        for job in self.jobs.values():
            for read in job.reads:
                if read.artifact == artifact and read.files:
                    return Contents(files=read.files, job=job.id)
        return Contents()

    def is_as_written(self, read: Read) -> bool | None:
        """Whether a job has read what was written; None if the manifests do not tell.

        Args:
            read: That it has read it.
        """
        written = self.contents(read.artifact)
        return are_same(written.files, read.files) if written.by_maker else None
