"""One job of a list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from dioptra_worker.api.models import moment
from dioptra_worker.tools.resources.timeline import ENDED

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUSES = ("queued", "started", "finished", "failed", "deferred")
"""The statuses of jobs, as Dioptra calls them."""


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """What a list tells of a job, without its timeline.

    Attributes:
        id: The job.
        status: As Dioptra calls it, such as ``started``.
        name: Its entrypoint's name.
        description: What its submitter wrote.
        user: Who submitted it.
        queue: Where it was submitted to.
        experiment: The name of its experiment.
        experiment_id: Its experiment.
        entrypoint_id: Its entrypoint.
        tags: Its own tags.
        created: When it was submitted.
        modified: When it, and so its status, last changed.
        since: When it got its status.
    """

    id: int
    status: str
    name: str
    description: str
    user: str
    queue: str
    experiment: str
    experiment_id: int
    entrypoint_id: int
    tags: tuple[str, ...]
    created: datetime
    modified: datetime
    since: datetime

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more, unless somebody has it run again."""
        return self.status in ENDED

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read the API's answer to ``GET /jobs/{id}``, or an entry of its list."""
        return cls(
            id=body["id"],
            status=body["status"],
            name=body["entrypoint"]["name"],
            description=body.get("description") or "",
            user=(body.get("user") or {}).get("username", ""),
            queue=(body.get("queue") or {}).get("name", ""),
            experiment=body["experiment"]["name"],
            experiment_id=body["experiment"]["id"],
            entrypoint_id=body["entrypoint"]["id"],
            tags=tuple(tag["name"] for tag in body.get("tags") or ()),
            created=moment(body["createdOn"]),
            modified=moment(body["lastModifiedOn"]),
            since=moment(body["snapshotCreatedOn"]),
        )

    def dump(self) -> dict[str, Any]:
        """The same in JSON's types, for `load`."""
        times = {name: getattr(self, name).isoformat() for name in _TIMES}
        # Not `asdict`, which copies each value: a listing keeps a thousand of these.
        return vars(self) | times | {"tags": list(self.tags)}

    @classmethod
    def load(cls, body: Mapping[str, Any]) -> Self:
        """Read what `dump` wrote."""
        times = {name: datetime.fromisoformat(body[name]) for name in _TIMES}
        return cls(**{**body, **times, "tags": tuple(body["tags"])})


_TIMES = ("created", "modified", "since")
