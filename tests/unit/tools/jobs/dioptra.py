"""As much of the REST API as lists and logs of jobs need, with jobs that can change."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.unit.api.scripted import Answer, Request, ScriptedApi

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.user_client import UserClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOT_FOUND = Answer(404, {"error": "EntityDoesNotExistError", "message": "Not Found"})
DECLARED = [
    {"name": "rate", "defaultValue": "0.5", "parameterType": "float"},
    {"name": "text", "defaultValue": "<b>&", "parameterType": "string"},
    {"name": "elements", "defaultValue": "[]", "parameterType": "list"},
]
"""The parameters of every entrypoint, if a test does not say others."""
NAMED = {
    "experiments": [{"id": 3, "name": "demo"}],
    "queues": [{"id": 4, "name": "cpu"}],
    "entrypoints": [{"id": 5, "name": "train"}],
    "users": [{"id": 1, "username": "ada"}],
}
"""All that there is besides jobs."""
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> str:
    """The time so long after noon, as the API writes it."""
    return (NOON + timedelta(seconds=seconds)).isoformat()


@dataclass
class Dioptra:
    """Jobs, tags and logs behind a real HTTP server.

    Attributes:
        jobs: The jobs by id, as the API shows them.
        timelines: Their statuses and times.
        logs: Their logs.
        tagged: The entrypoints with a tag.
        metrics: Values of their metrics, by name.
        artifacts: The artifacts that all jobs share, by id, as the API shows them.
        contents: What the API answers for their contents.
        away: How many requests are to fail from now on.
        submitted: What jobs were made of.
        declared: The parameters of every entrypoint.
        declared_now: Those that entrypoints have as they are now.
    """

    jobs: dict[int, dict[str, Any]] = field(default_factory=dict)
    timelines: dict[int, list[tuple[str, float]]] = field(default_factory=dict)
    logs: dict[int, list[tuple[str, str, str]]] = field(default_factory=dict)
    tagged: dict[str, list[int]] = field(default_factory=dict)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    artifacts: dict[int, dict[str, Any]] = field(default_factory=dict)
    contents: dict[int, Answer] = field(default_factory=dict)
    away: int = 0
    submitted: list[dict[str, Any]] = field(default_factory=list)
    declared: list[dict[str, Any]] = field(default_factory=lambda: list(DECLARED))
    declared_now: list[dict[str, Any]] = field(default_factory=lambda: list(DECLARED))

    def put_artifact(
        self,
        id_: int,
        name: str,
        contents: Answer,
        *,
        is_dir: bool = False,
        description: str = "",
    ) -> None:
        """Make an artifact, of every job."""
        size = len(contents.body) if isinstance(contents.body, bytes) else None
        self.contents[id_] = contents
        self.artifacts[id_] = {
            "id": id_,
            "snapshot": id_ + 1000,
            "job": 7,
            "artifactUri": f"s3://bucket/0/{'a' * 32}/artifacts/made/{name}",
            "isDir": is_dir,
            "fileSize": None if is_dir else size,
            "description": description,
        }

    def put(
        self,
        job_id: int,
        *changes: tuple[str, float],
        queue: str = "local",
        user: str = "ada",
        experiment: str = "demo",
        entrypoint: int = 5,
        tags: Sequence[str] = (),
        name: str = "train",
        description: str = "",
    ) -> None:
        """Make a job, or make it another one."""
        self.timelines[job_id] = list(changes)
        self.jobs[job_id] = {
            "id": job_id,
            "status": changes[-1][0],
            "createdOn": at(changes[0][1]),
            "lastModifiedOn": at(changes[-1][1]),
            "snapshotCreatedOn": at(changes[-1][1]),
            "description": description,
            "user": {"username": user},
            "queue": {"id": 2, "name": queue},
            "experiment": {"id": 3, "name": experiment},
            "entrypoint": {"id": entrypoint, "snapshotId": 50, "name": name},
            "group": {"id": 1},
            "values": {"rate": "0.1"},
            "timeout": "1h",
            "tags": [{"name": name} for name in tags],
        }

    @contextmanager
    def running(self) -> Iterator[tuple[UserClient, ScriptedApi]]:
        """Serve until the end of the block."""
        with (
            ScriptedApi(self.answer).running() as server,
            DioptraApi(url=server.url, username="ada", password="x") as api,
        ):
            yield UserClient(api), server

    def answer(self, request: Request) -> Answer:
        """Answer as the API does."""
        if self.away:
            self.away -= 1
            return Answer(503, {"message": "gone for a moment"})
        match request.path.rstrip("/").split("/"):
            case ["tags", *rest]:
                return self._tags(request, rest)
            case ["jobs"] | ["experiments", _, "jobs"]:
                if request.method == "POST":
                    self.submitted.append(request.body)
                    return Answer(body={"id": 99})
                return _page(request, self._sorted(request))
            case [kind] if kind in NAMED:
                return _page(request, NAMED[kind])
            case ["jobs", id_, *rest]:
                return self._job(request, int(id_), rest)
            case ["users", "current"]:
                return Answer(body={"id": 1, "username": "ada", "createdOn": at(0)})
            case ["entrypoints", id_, *rest]:
                return self._entrypoint(int(id_), rest)
            case ["artifacts", id_, *rest] if int(id_) in self.artifacts:
                return self._artifact(int(id_), rest)
        return NOT_FOUND

    def _entrypoint(self, entrypoint: int, rest: list[str]) -> Answer:
        now = {
            "id": entrypoint,
            "snapshot": 51,
            "group": {"id": 1},
            "name": "train",
            "parameters": self.declared_now,
            "taskGraph": "only: {fit: []}",
            "queues": [],
        }
        match rest:
            case []:
                return Answer(body=now)
            case ["snapshots", _]:
                return Answer(body={"parameters": self.declared})
        return NOT_FOUND

    def _artifact(self, artifact: int, rest: list[str]) -> Answer:
        body = self.artifacts[artifact]
        match rest:
            case []:
                return Answer(body=body)
            case ["snapshots", snapshot, "contents"]:
                assert int(snapshot) == body["snapshot"]
                return self.contents[artifact]
        return NOT_FOUND

    def _tags(self, request: Request, rest: list[str]) -> Answer:
        if not rest:
            names = enumerate(self.tagged, start=1)
            return _page(request, [{"id": id_, "name": n} for id_, n in names])
        found = list(self.tagged.values())[int(rest[0]) - 1]
        return _page(request, [f"/api/v1/entry_point/{e}" for e in found])

    def _job(self, request: Request, job_id: int, rest: list[str]) -> Answer:
        match rest:
            case [] if job_id in self.jobs and request.method == "DELETE":
                del self.jobs[job_id]
                return Answer(body={"id": [job_id], "status": "Success"})
            case [] if job_id in self.jobs:
                references = [{"id": artifact} for artifact in self.artifacts]
                return Answer(body=self.jobs[job_id] | {"artifacts": references})
            case ["snapshots"] if job_id in self.jobs:
                changes = self.timelines[job_id]
                return _page(
                    request,
                    [{"status": s, "snapshotCreatedOn": at(t)} for s, t in changes],
                )
            case ["log"]:
                return _page(request, self._log(job_id))
            case ["parameters"]:
                return Answer(body={"rate": 0.1, "text": "<b>&"})
            case ["artifactParameters"]:
                return Answer(body=self._inputs(job_id))
            case ["mlflowRun"]:
                return Answer(body={"mlflowRunId": "a" * 32})
            case ["metrics"]:
                return Answer(body=[{"name": name} for name in self.metrics])
            case ["metrics", name, "snapshots"]:
                values = enumerate(self.metrics[unquote(name)])
                return _page(request, [{"value": v, "step": s} for s, v in values])
        return NOT_FOUND

    def _inputs(self, job_id: int) -> dict[str, Any]:
        values = self.jobs.get(job_id, {}).get("artifactValues", {})
        task = {
            "plugin_id": 60,
            "plugin_snapshot_id": 61,
            "plugin_name": "reading",
            "file_name": "artifacts.py",
            "task_name": "Text",
            "outputs": [{"name": "text"}],
        }
        return {
            name: {
                "artifact_id": value["id"],
                "artifact_snapshot_id": value["snapshotId"],
                "artifact_uri": self.artifacts[value["id"]]["artifactUri"],
                "is_dir": False,
                "artifact_task": task,
            }
            for name, value in values.items()
            if value["id"] in self.artifacts
        }

    def _sorted(self, request: Request) -> list[dict[str, Any]]:
        wanted = request.query.get("search", "").removeprefix("status:").strip('"')
        jobs = [job for job in self.jobs.values() if wanted in {"", job["status"]}]
        key = request.query["sortBy"]
        return sorted(jobs, key=lambda job: str(job[key]), reverse=True)

    def _log(self, job_id: int) -> list[dict[str, str]]:
        return [
            {"severity": s, "loggerName": n, "message": m, "createdOn": at(0)}
            for s, n, m in self.logs.get(job_id, [])
        ]


def _page(request: Request, rows: list[Any]) -> Answer:
    index = int(request.query["index"])
    length = int(request.query["pageLength"])
    found = rows[index : index + length]
    return Answer(body={"data": found, "totalNumResults": len(rows)})
