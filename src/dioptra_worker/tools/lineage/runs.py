"""Finds worker runs by the tags that the daemon has put on MLflow runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.protocol.job_number import job_number
from dioptra_worker.provenance.run_tags import (
    CONFIGURATION_ID,
    JOB_ID,
    KIND,
    RESULTS_DELETED,
    WORKER_RUN,
    WORKER_RUN_ID,
)
from dioptra_worker.tools.lineage.errors import NoSuchRun
from dioptra_worker.tools.lineage.mlflow_api import tags_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.tools.lineage.mlflow_api import MlflowApi

SHORTEST_PREFIX = 6
"""Characters of a worker run's id that are enough to name it, if no other has them."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One job of a worker run.

    Attributes:
        job_id: The job.
        run_id: Its MLflow run.
        artifact_uri: Where that run's artifacts are.
        status: How the MLflow run ended: RUNNING, FINISHED, FAILED or KILLED.
        started: When it began, in milliseconds since 1970.
        ended: When it ended, or None.
        tags: All its tags.
    """

    job_id: int
    run_id: str
    artifact_uri: str
    status: str
    started: int
    ended: int | None
    tags: Mapping[str, str]

    @property
    def results_deleted(self) -> str:
        """When and by whom its results were deleted; empty if they were not."""
        return self.tags.get(RESULTS_DELETED, "")

    @classmethod
    def read(cls, run: Mapping[str, Any]) -> Execution:
        """Read a run as MLflow shows it."""
        tags = tags_of(run)
        info = run["info"]
        return cls(
            job_id=job_number(tags.get(JOB_ID, "")) or 0,
            run_id=info["run_id"],
            artifact_uri=info["artifact_uri"],
            status=info["status"],
            started=int(info.get("start_time") or 0),
            ended=int(info["end_time"]) if info.get("end_time") else None,
            tags=tags,
        )


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """A worker run and its jobs, the newest first.

    Attributes:
        id: Its id.
        executions: Its jobs, one at least.
    """

    id: str
    executions: tuple[Execution, ...]

    @property
    def latest(self) -> Execution:
        """Its newest job."""
        return self.executions[0]

    @property
    def document(self) -> dict[str, Any]:
        """What the id was computed from; empty if it was too long to be kept."""
        found: dict[str, Any] = json.loads(self.latest.tags.get(WORKER_RUN, "{}"))
        return found

    @property
    def configuration_id(self) -> str:
        """The id of its configuration."""
        return self.latest.tags.get(CONFIGURATION_ID, "")

    @property
    def is_personal(self) -> bool:
        """Whether it signs what a person publishes, and no queue's jobs."""
        return self.latest.tags.get(KIND) == "user"


class Runs:
    """The worker runs that an MLflow server knows.

    Every method raises `ServiceUnavailable` or `ServiceRefused` when MLflow does not
    answer or refuses.
    """

    def __init__(self, mlflow: MlflowApi) -> None:
        self.mlflow = mlflow

    def all(self, **wanted: str) -> list[FoundRun]:
        """Worker runs, the one with the newest job first.

        Args:
            **wanted: Values of tags, by the tag's name without ``dioptra.``; what is
                empty counts for nothing.
        """
        filters = [
            f"tags.`dioptra.{name}` = '{_quoted(value)}'"
            for name, value in wanted.items()
            if value
        ]
        return self._grouped(f"tags.`{WORKER_RUN_ID}` LIKE '%'", *filters)

    def find(self, name: str) -> FoundRun:
        """A worker run by its id, or by how its id begins.

        Raises:
            NoSuchRun: None begins so, or several do.
        """
        prefix = name.strip().lower()
        if len(prefix) < SHORTEST_PREFIX or set(prefix) - set("0123456789abcdef-"):
            raise NoSuchRun(
                f"{name!r} is no worker run: give its id, or at least the first"
                f" {SHORTEST_PREFIX} characters of it"
            )
        found = self._grouped(f"tags.`{WORKER_RUN_ID}` LIKE '{prefix}%'")
        if not found:
            raise NoSuchRun(f"no worker run has the id {name!r}")
        if len(found) > 1:
            ids = ", ".join(run.id for run in found[:5])
            raise NoSuchRun(f"{name!r} may be any of {ids}: give more of the id")
        return found[0]

    def mark(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Put tags on an MLflow run."""
        for key, value in tags.items():
            self.mlflow.set_tag(run_id, key, value)

    def _grouped(self, *filters: str) -> list[FoundRun]:
        groups: dict[str, list[Execution]] = {}
        for execution in self._search(" AND ".join(filters)):
            groups.setdefault(execution.tags[WORKER_RUN_ID], []).append(execution)
        return [
            FoundRun(id=id_, executions=tuple(executions))
            for id_, executions in groups.items()
        ]

    def _search(self, words: str) -> Iterator[Execution]:
        return map(Execution.read, self.mlflow.runs(self.mlflow.experiments(), words))


def _quoted(value: str) -> str:
    """A value within single quotes of MLflow's search language."""
    return value.replace("\\", "\\\\").replace("'", "\\'")
