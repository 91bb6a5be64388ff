"""A job's artifacts: chosen by name, and read in pieces from the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.tools.jobs.errors import NoContents
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact
    from dioptra_worker.api.session import DownloadStream
    from dioptra_worker.api.user_client import UserClient


def chosen(
    artifacts: Sequence[Artifact], names: Sequence[str], *, job_id: int
) -> list[Artifact]:
    """Choose artifacts of a job.

    Args:
        artifacts: All that it has.
        names: Which: names in the task graph, file names or ids; none is all of them.
        job_id: The job.

    Raises:
        Unknown: It has no such artifact, or none at all.
    """
    if not artifacts:
        raise Unknown(f"job {job_id} has no artifacts")
    if not names:
        return list(artifacts)
    found: dict[int, Artifact] = {}
    for name in names:
        matching = [each for each in artifacts if _is_called(each, name)]
        if not matching:
            there = ", ".join(repr(artifact.file_name) for artifact in artifacts)
            raise Unknown(f"job {job_id} has no artifact {name!r}: it has {there}")
        found |= {artifact.id: artifact for artifact in matching}
    return list(found.values())


def artifact_of(client: UserClient, job_id: int, artifact_id: int) -> Artifact:
    """An artifact of a job.

    Raises:
        Unknown: The job has no such artifact.
        ServiceError: The API refused, or cannot be asked.
    """
    references = client.job(job_id)["artifacts"]
    if artifact_id not in {reference["id"] for reference in references}:
        raise Unknown(f"job {job_id} has no artifact {artifact_id}")
    return client.artifact(artifact_id)


def open_contents(api: DioptraApi, artifact: Artifact) -> DownloadStream:
    """Begin to read an artifact: a file as it is, a folder as ``tar.gz``.

    Args:
        api: A session with the API.
        artifact: The artifact.

    Raises:
        NoContents: It was deleted, or the API cannot read it.
        ServiceError: The API refused, or cannot be asked.
    """
    if artifact.is_deleted:
        raise NoContents(f"artifact {artifact.id} was deleted")
    try:
        return api.open_artifact(
            artifact.id, artifact.snapshot_id, is_dir=artifact.is_dir
        )
    except ServiceUnavailable as error:
        if error.status != 500:
            raise
        raise NoContents(
            f"the API cannot read artifact {artifact.id} from {artifact.uri}: it is no"
            " longer there, or the artifact store does not answer the API"
        ) from error


def _is_called(artifact: Artifact, name: str) -> bool:
    own = artifact.file_name
    # The file is named after the artifact, with some ending, as is the custom; and it
    # lies in a folder of that name where our worker has kept it.
    parts = artifact.uri.rstrip("/").split("/")
    above = parts[-2] if len(parts) > 1 and parts[-3:-2] == ["artifacts"] else None
    return name in {str(artifact.id), own, above} or own.startswith(f"{name}.")
