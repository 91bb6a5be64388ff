"""Jobs: how the benchmarks submit them, and when they did what."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.stage import Stage
    from dioptra_worker.api.models import Artifact

_JOB_TIMEOUT = "2h"


@dataclass(frozen=True, kw_only=True)
class Done:
    """A job that has finished; moments are seconds since the epoch.

    Attributes:
        id: The job.
        submitted: When the request that submits it was sent.
        enqueued: When the API put it into its queue.
        started: When a worker set its status.
        finished: When a worker set its final status.
    """

    id: int
    submitted: float
    enqueued: float
    started: float
    finished: float

    @property
    def total(self) -> float:
        """Seconds from submission to the end, as a user sees it."""
        return self.finished - self.submitted

    @property
    def worked(self) -> float:
        """Seconds from the queue to the end: the worker's own part."""
        return self.finished - self.enqueued


@dataclass(frozen=True)
class Submitted:
    """A job that was submitted."""

    id: int
    at: float


class Line:
    """A queue to submit jobs of one entrypoint to, with everything prepared."""

    def __init__(self, stage: Stage, entrypoint: str, queue: str) -> None:
        self.stage = stage
        self.queue = queue
        self._entrypoint = stage.entrypoint(entrypoint)
        self._queue_id = stage.queue_id(queue)
        stage.resources.add_entrypoint(stage.experiment, self._entrypoint)
        stage.resources.add_queue(self._entrypoint, self._queue_id)

    def submit(
        self,
        values: Mapping[str, object] | None = None,
        artifact: Artifact | None = None,
    ) -> Submitted:
        """Submit a job; one request."""
        body = {
            "entrypoint": self._entrypoint,
            "queue": self._queue_id,
            "values": {name: str(value) for name, value in (values or {}).items()},
            "artifactValues": {
                "artifact": {"id": artifact.id, "snapshotId": artifact.snapshot_id}
            }
            if artifact
            else {},
            "timeout": _JOB_TIMEOUT,
            "description": "",
        }
        at = time.time()
        return Submitted(
            self.stage.resources.create_job(self.stage.experiment, body), at
        )
