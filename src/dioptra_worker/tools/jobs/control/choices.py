"""What a job can be given when it is run again, and what it was given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.errors import NotFound
from dioptra_worker.tools.jobs.job_row import JobRow

if TYPE_CHECKING:
    from dioptra_worker.api.user_client import UserClient


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A parameter that can have another value.

    Attributes:
        name: The parameter.
        kind: Its type, such as ``integer``.
        text: The value that the job has, or the default, as one types it.
    """

    name: str
    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What can be chosen when a job is run again.

    Attributes:
        job: The job.
        parameters: Its parameters; none where its entrypoint was deleted.
    """

    job: JobRow
    parameters: tuple[Choice, ...]


def read_choices(client: UserClient, job_id: int) -> Choices:
    """Read what a job was given.

    Raises:
        NotFound: There is no such job.
        ServiceError: The API refused, or cannot be asked.
    """
    body = client.job(job_id)
    entrypoint, snapshot = body["entrypoint"]["id"], body["entrypoint"]["snapshotId"]
    try:
        declared = client.entrypoint_snapshot(entrypoint, snapshot)
    except NotFound:
        declared = {"parameters": []}
    given = body["values"]
    return Choices(
        job=JobRow.read(body),
        parameters=tuple(
            Choice(
                name=one["name"],
                kind=one["parameterType"],
                text=_text(given.get(one["name"], one.get("defaultValue"))),
            )
            for one in declared["parameters"]
        ),
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
