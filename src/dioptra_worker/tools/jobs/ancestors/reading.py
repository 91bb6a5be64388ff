"""Follows a result back: to the job that made it, what that has read, and so on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dioptra_worker.api.errors import expect_shape
from dioptra_worker.api.models import Job
from dioptra_worker.common.background import Pool
from dioptra_worker.errors import NotFound
from dioptra_worker.provenance import BadValue
from dioptra_worker.settings import DATA_PARAMETERS
from dioptra_worker.tools.jobs.ancestors.graph import (
    ArtifactNode,
    JobNode,
    Lineage,
    Read,
    Source,
)
from dioptra_worker.tools.jobs.worker_run import worker_run_of
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.provenance.manifest import InputFacts, Manifest

MAX_JOBS = 500
"""Jobs of a lineage: more would take minutes, and nobody could look at them."""
_AT_A_TIME = 8
"""How many jobs or artifacts are asked for at a time."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What is recorded of a job beside the REST API.

    Attributes:
        run_id: Its MLflow run.
        worker_run: The id of the worker run that it was stamped with; empty for none.
        status: How the run ended, as Dioptra calls it; empty if it has not.
        manifest: The job's manifest, if it has one.
        digest: The SHA-256 of that.
        trouble: What is wrong with it; empty if nothing is.
    """

    run_id: str
    worker_run: str = ""
    status: str = ""
    manifest: Manifest | None = None
    digest: str = ""
    trouble: str = ""


class Records(Protocol):
    """Where it is found what is recorded of jobs; may be asked in any thread."""

    def of(self, job_id: int, run_id: str | None) -> Recorded | None:
        """What is recorded of a job; None if nothing is.

        Args:
            job_id: The job.
            run_id: Its MLflow run; None for a job that the REST API has no more.
        """
        ...

    @property
    def trouble(self) -> str:
        """Why nothing can be found; empty if it can."""
        ...


class NoRecords:
    """Of no job anything is recorded."""

    trouble = ""

    def of(self, job_id: int, run_id: str | None) -> Recorded | None:  # noqa: ARG002
        """Nothing."""
        return None


def read_lineage(
    api: DioptraApi,
    client: UserClient,
    root: int,
    *,
    depth: int | None = None,
    max_jobs: int = MAX_JOBS,
    records: Records | None = None,
    data_parameters: Collection[str] = DATA_PARAMETERS,
) -> Lineage:
    """Follow a job or an artifact back.

    Args:
        api: A session with the API.
        client: The same session, for what people ask of it.
        root: The job or artifact: the API numbers all that it has in one series.
        depth: How many jobs to go back, from 1; None for all.
        max_jobs: How many jobs to ask for, the nearest first.
        records: What is recorded of jobs beside the API.
        data_parameters: Those that say what to work on, and are no part of a worker
            run.

    Raises:
        Unknown: It is neither a job nor an artifact.
        ServiceError: The API refused, or cannot be asked.
    """
    reader = _Reader(api, client, records or NoRecords(), data_parameters)
    artifacts: dict[int, ArtifactNode] = {}
    first = reader.job(root)
    is_job = first is not None
    if first is not None:
        found = [first]
    else:
        artifact = reader.artifact(root)
        if artifact.is_unknown:
            raise Unknown(
                f"neither a job nor an artifact has the id {root}: `dioptra-worker jobs"
                " list` has the jobs, and `dioptra-worker jobs show JOB` the artifacts"
            )
        artifacts[root] = artifact
        found = [reader.job_or_gone(artifact.job)]
    jobs: dict[int, JobNode] = {}
    left_out, level = "", 1
    with Pool("dioptra-lineage", max_parallel=_AT_A_TIME) as pool:
        while found:
            jobs |= {job.id: job for job in found}
            wanted = [it for job in found for it in job.reads]
            new = {it.artifact: it for it in wanted if it.artifact not in artifacts}
            made = pool.map(reader.read_artifact, new.values())
            artifacts |= {artifact.id: artifact for artifact in made}
            makers = (artifacts[it.artifact].job for it in wanted)
            following = [it for it in dict.fromkeys(makers) if it and it not in jobs]
            if following and level == depth:
                left_out = f"jobs that are further back than {_jobs(level)}"
                break
            if len(jobs) + len(following) > max_jobs:
                left_out = f"jobs beyond the nearest {max_jobs:,}"
                following = following[: max_jobs - len(jobs)]
            found = list(pool.map(reader.job_or_gone, following))
            level += 1
    notes = (reader.records.trouble,) if reader.records.trouble else ()
    return Lineage(
        job=root if is_job else 0,
        artifact=0 if is_job else root,
        jobs=jobs,
        artifacts=artifacts,
        left_out=left_out,
        notes=notes,
    )


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


class _Reader:
    """Asks for one job or artifact at a time, in any thread."""

    def __init__(
        self,
        api: DioptraApi,
        client: UserClient,
        records: Records,
        data_parameters: Collection[str],
    ) -> None:
        self._api = api
        self._client = client
        self.records = records
        self._data_parameters = data_parameters

    def job_or_gone(self, job_id: int) -> JobNode:
        """A job, which may be gone."""
        return self.job(job_id) or JobNode(id=job_id, is_deleted=True)

    def job(self, job_id: int) -> JobNode | None:
        """A job; None if nothing is known of it."""
        try:
            body = self._client.job(job_id)
        except NotFound:
            return self._deleted_job(job_id)
        with expect_shape(f"jobs/{job_id}"):
            job = Job.read(body)
        run_id = self._api.mlflow_run(job_id)
        recorded = self.records.of(job_id, run_id) if run_id else None
        manifest = recorded.manifest if recorded else None
        worker_run, source = _stamped(recorded)
        if not worker_run:
            worker_run = self._computed_worker_run(job, body.get("description") or "")
        facts = {it.name: it for it in manifest.inputs} if manifest else {}
        return JobNode(
            id=job_id,
            status=job.status,
            entrypoint=job.entrypoint_name,
            snapshot=job.entrypoint_snapshot_id,
            worker_run=worker_run,
            run_id=run_id or "",
            manifest=recorded.digest if recorded else "",
            source=source,
            reads=tuple(
                _read(name, artifact, snapshot, facts.get(name))
                for name, (artifact, snapshot) in job.inputs.items()
            ),
            wrote=_written(manifest),
            trouble=recorded.trouble if recorded else "",
        )

    def _deleted_job(self, job_id: int) -> JobNode | None:
        """A job that the API has not, as it is recorded."""
        recorded = self.records.of(job_id, None)
        if recorded is None:
            return None
        manifest = recorded.manifest
        worker_run, _ = _stamped(recorded)
        facts = manifest.inputs if manifest else ()
        return JobNode(
            id=job_id,
            is_deleted=True,
            status=manifest.job.status if manifest else recorded.status,
            entrypoint=manifest.job.entrypoint.name if manifest else "",
            snapshot=manifest.job.entrypoint.snapshot if manifest else 0,
            worker_run=worker_run,
            run_id=recorded.run_id,
            manifest=recorded.digest,
            source="manifest" if manifest else "mlflow",
            reads=tuple(
                _read(it.name, it.artifact, it.snapshot, it)
                for it in facts
                if it.artifact
            ),
            wrote=_written(manifest),
            trouble=recorded.trouble,
        )

    def _computed_worker_run(self, job: Job, description: str) -> str:
        try:
            run, _ = worker_run_of(
                self._api,
                job,
                self._api.parameters(job.id),
                description=description,
                data=self._data_parameters,
            )
        except (NotFound, BadValue):  # as its worker, which has not stamped it either
            return ""
        return run.id

    def read_artifact(self, read: Read) -> ArtifactNode:
        """An artifact that a job has read; who has read it may know where it was."""
        found = self.artifact(read.artifact)
        if found.is_unknown:
            return ArtifactNode(id=read.artifact, is_unknown=True, uri=read.uri)
        return found

    def artifact(self, artifact_id: int) -> ArtifactNode:
        """An artifact."""
        try:
            found = self._client.artifact(artifact_id)
        except NotFound:
            return ArtifactNode(id=artifact_id, is_unknown=True)
        return ArtifactNode(
            id=artifact_id,
            is_deleted=found.is_deleted,
            job=found.job_id,
            uri=found.uri,
            size=found.size,
        )


def _stamped(recorded: Recorded | None) -> tuple[str, Source]:
    """The worker run that a job was stamped with, and who tells of the job."""
    if recorded is None:
        return "", "api"
    if recorded.manifest is not None:
        return recorded.manifest.worker_run.id or recorded.worker_run, "manifest"
    return recorded.worker_run, "mlflow" if recorded.worker_run else "api"


def _read(name: str, artifact: int, snapshot: int, facts: InputFacts | None) -> Read:
    if facts is None or (facts.artifact, facts.snapshot) != (artifact, snapshot):
        return Read(name=name, artifact=artifact, snapshot=snapshot)
    return Read(
        name=name,
        artifact=artifact,
        snapshot=snapshot,
        uri=facts.uri,
        files=facts.files,
    )


def _written(manifest: Manifest | None) -> dict[str, Any]:
    outputs: Iterable[Any] = manifest.outputs if manifest else ()
    return {output.uri: output.files for output in outputs}
