"""The calls that people's tools make: import, submit, read back.

The worker itself needs none of it. Errors are those of `DioptraApi`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dioptra_worker.api import shapes
from dioptra_worker.api.errors import expect_shape, of_kind, refuse_deleted
from dioptra_worker.api.models import (
    LogLine,
    MetricPoint,
    StatusChange,
    resource_id,
)
from dioptra_worker.api.session import MAX_PAGES, PAGE_LENGTH
from dioptra_worker.errors import NotFound, PathUnknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact


class UserClient:
    """The calls of the REST API that are about resources and submitted jobs.

    Args:
        api: A session; logged in when the first call is made.
    """

    def __init__(self, api: DioptraApi) -> None:
        self._api = api

    def import_archive(
        self, archive: bytes, *, group: int, strategy: str
    ) -> dict[str, dict[str, int]]:
        """Import plugins, types and entrypoints.

        Args:
            archive: A ``tar.gz`` with a ``dioptra.toml`` at its top.
            group: The group that is to own them.
            strategy: What to do where a name is taken: ``update``, ``overwrite`` or
                ``fail``.

        Returns:
            The ids by name, under ``plugins``, ``plugin_param_types`` and
            ``entrypoints``.
        """
        path = "workflows/resourceImport"
        body = self._api.request(
            "POST",
            path,
            data={
                "group": group,
                "sourceType": "upload_archive",
                "configPath": "dioptra.toml",
                "resolveNameConflictsStrategy": strategy,
            },
            files={"archiveFile": ("resources.tar.gz", archive, "application/gzip")},
        )
        with expect_shape(path):
            shapes.check(body, shapes.IMPORTED)
        resources: dict[str, dict[str, int]] = body["resources"]
        return resources

    def find(self, kind: str, name: str) -> int | None:
        """Find a resource by its exact name.

        Args:
            kind: Such as ``entrypoints``, ``experiments`` or ``queues``.
            name: Its name.

        Returns:
            Its id, or None.
        """
        return next((int(body["id"]) for body in self._of_name(kind, name)), None)

    def names(self, kind: str) -> list[str]:
        """The names of all resources of a kind that the user can see."""
        return [body["name"] for body in self._named(kind)]

    def described(
        self, kind: str, names: Iterable[str], *, group: int
    ) -> dict[str, dict[str, Any]]:
        """Those of some names that there are, as the API shows them.

        Each is searched for: there may be thousands of others, and the API takes long
        to show them.

        Args:
            kind: Such as ``plugins``.
            names: The names that are looked for.
            group: The group that owns them.
        """
        found: dict[str, dict[str, Any]] = {}
        for name in names:
            for body in self._of_name(kind, name):
                owner = body.get("group")
                if not isinstance(owner, dict) or owner.get("id") == group:
                    found[name] = body
        return found

    def user_names(self) -> list[str]:
        """The names of all users that the user can see."""
        path = "users/"
        found = list(self._api.pages(path))
        with expect_shape(path):
            shapes.check(found, [{"username": str}])
        return [body["username"] for body in found]

    def entrypoint(self, entrypoint: int) -> dict[str, Any]:
        """An entrypoint as the API shows it."""
        return self._shown(f"entrypoints/{entrypoint}", shapes.ENTRYPOINT)

    def entrypoint_snapshot(self, entrypoint: int, snapshot: int) -> dict[str, Any]:
        """What an entrypoint was like at one moment, as far as jobs choose from it."""
        path = f"entrypoints/{entrypoint}/snapshots/{snapshot}"
        return self._shown(path, {"parameters": [{"name": str, "parameterType": str}]})

    def swaps(self, entrypoint: int, snapshot: int) -> dict[str, list[str]]:
        """The choices that an entrypoint leaves to its jobs, by the swaps' names.

        Before 1.2 there are no swaps.
        """
        path = f"entrypoints/{entrypoint}/snapshots/{snapshot}/swaps"
        choices: dict[str, list[str]] = {}
        with contextlib.suppress(NotFound, PathUnknown):
            bodies = self._api.request("GET", path)
            with expect_shape(path):
                shapes.check(bodies, [{"swapName": str, "taskAlias": str}])
            for body in bodies:
                choices.setdefault(body["swapName"], []).append(body["taskAlias"])
        return choices

    def entrypoint_config(self, entrypoint: int, snapshot: int) -> dict[str, Any]:
        """The whole task graph of an entrypoint, as a worker is given it."""
        path = f"entrypoints/{entrypoint}/snapshots/{snapshot}/config"
        return self._shown(path, {})

    def types_of_artifact(self, artifact: int) -> list[str] | None:
        """The types of the values that an artifact holds; None if nobody tells."""
        body = self._shown(f"artifacts/{artifact}", {"id": resource_id})
        task = body.get("task")
        outputs = task.get("outputParams") if isinstance(task, dict) else None
        if not isinstance(outputs, list):
            return None
        with expect_shape("artifacts"):
            shapes.check(outputs, [{"parameterType": {"name": str}}])
        return [output["parameterType"]["name"] for output in outputs]

    def artifact(self, artifact: int) -> Artifact:
        """An artifact."""
        return self._api.artifact(artifact)

    def create(self, path: str, body: Mapping[str, Any]) -> int:
        """Make something; its id.

        Args:
            path: What it will be one of, such as ``"queues/"``.
            body: What it is to be.
        """
        made = self._api.request("POST", path, json=dict(body))
        with expect_shape(path):
            return resource_id(made["id"])

    def create_experiment(self, name: str, *, group: int) -> int:
        """Create an experiment; its id."""
        body = {"group": group, "name": name, "description": ""}
        return self.create("experiments/", body)

    def add_entrypoint(self, experiment: int, entrypoint: int) -> None:
        """Let an experiment run an entrypoint; harmless if it may already."""
        path = f"experiments/{experiment}/entrypoints"
        self._api.request("POST", path, json={"ids": [entrypoint]})

    def add_queue(self, entrypoint: int, queue: int) -> None:
        """Let an entrypoint be submitted to a queue; harmless if it may already."""
        path = f"entrypoints/{entrypoint}/queues"
        self._api.request("POST", path, json={"ids": [queue]})

    def tags(self) -> dict[str, int]:
        """The ids of all tags by their names."""
        return {body["name"]: int(body["id"]) for body in self._named("tags")}

    def tagged_entrypoints(self, tag: int) -> list[int]:
        """The entrypoints that have a tag.

        The API answers with addresses that are not those of its own routes.
        """
        path = f"tags/{tag}/resources"
        places = list(self._api.pages(path))
        with expect_shape(path):
            parts = [str(place).rstrip("/").rsplit("/", 2) for place in places]
            return [int(id_) for _, kind, id_ in parts if kind.startswith("entry")]

    def whoami(self) -> str:
        """The name of the user that is logged in."""
        return str(self._shown("users/current", {"username": str})["username"])

    def jobs_page(
        self,
        *,
        index: int,
        length: int,
        experiment: int | None = None,
        status: str | None = None,
        sort: str = "createdOn",
    ) -> tuple[list[dict[str, Any]], int]:
        """Some of the jobs that the user can see, the newest first.

        Args:
            index: How many to leave out.
            length: How many to read, at most 1000.
            experiment: Only those of one experiment.
            status: Only those with a status.
            sort: What newest means: ``createdOn`` or ``lastModifiedOn``.

        Returns:
            The jobs as the API shows them, and how many there are in all.
        """
        path = "jobs/" if experiment is None else f"experiments/{experiment}/jobs"
        query: dict[str, Any] = {"index": index, "pageLength": length}
        query |= {"sortBy": sort, "descending": "true"}
        if status is not None:
            query["search"] = f'status:"{status}"'
        page = {"data": [shapes.LISTED_JOB], "totalNumResults": int}
        body = self._shown(path, page, params=query)
        return body["data"], body["totalNumResults"]

    def jobs_described(self, pattern: str) -> list[dict[str, Any]]:
        """The jobs whose description is like a pattern, as the API shows them.

        Args:
            pattern: Has ``*`` for any text, and no quotes; the API passes over blanks
                beside that, and takes upper and lower case as the same.
        """
        path = "jobs/"
        search = f'description:"{pattern}"'
        found = list(self._api.pages(path, search=search, sortBy="createdOn"))
        with expect_shape(path):
            shapes.check(found, [shapes.JOB])
        return found

    def job(self, job_id: int) -> dict[str, Any]:
        """A job as the API shows it.

        Raises:
            NotFound: There is none, or it was deleted, also if the API still has it.
        """
        body = self._shown(f"jobs/{job_id}", shapes.JOB)
        refuse_deleted(body, f"job {job_id}")
        return body

    def create_job(self, experiment: int, body: Mapping[str, Any]) -> int:
        """Submit a job; its id."""
        path = f"experiments/{experiment}/jobs"
        return self.create(path, body)

    def timeline(self, job_id: int) -> list[StatusChange]:
        """Every status that a job had, the oldest first."""
        path = f"jobs/{job_id}/snapshots"
        bodies = list(self._api.pages(path))
        with expect_shape(path):
            return sorted(map(StatusChange.read, bodies), key=lambda change: change.at)

    def second_status(self, job_id: int) -> tuple[StatusChange | None, int]:
        """The second status that a job had, and how many there are.

        The API takes about as long for one of them as for a job.
        """
        path = f"jobs/{job_id}/snapshots"
        body = self._api.request("GET", path, params={"index": 1, "pageLength": 1})
        with expect_shape(path):
            found = [StatusChange.read(entry) for entry in body["data"]]
            return (found[0] if found else None), of_kind(body["totalNumResults"], int)

    def log(self, job_id: int, *, start: int = 0) -> list[LogLine]:
        """A job's log, in order.

        Args:
            job_id: The job; nothing is said about one that does not exist.
            start: How many records to leave out at the beginning.
        """
        path = f"jobs/{job_id}/log"
        bodies = list(self._api.pages(path, start=start))
        with expect_shape(path):
            return [LogLine.read(body) for body in bodies]

    def log_part(
        self, job_id: int, *, start: int, records: int
    ) -> tuple[list[LogLine], int]:
        """Some records of a job's log, in order, and how many it has in all.

        Args:
            job_id: The job.
            start: How many records to leave out at the beginning.
            records: How many to read, at most 500.
        """
        path = f"jobs/{job_id}/log"
        page = {"data": list, "totalNumResults": int}
        paging = {"index": start, "pageLength": records}
        body = self._shown(path, page, params=paging)
        with expect_shape(path):
            return [LogLine.read(line) for line in body["data"]], body[
                "totalNumResults"
            ]

    def log_end(self, job_id: int, *, records: int) -> list[LogLine]:
        """The last records of a job's log, in order.

        Args:
            job_id: The job.
            records: How many, at most 500.
        """
        lines, total = self.log_part(job_id, start=0, records=records)
        if total > records:
            start = total - records
            lines, _ = self.log_part(job_id, start=start, records=records)
        return lines

    def delete_job(self, job_id: int) -> None:
        """Delete a job: the API keeps what it was, and shows it no more."""
        self._api.request("DELETE", f"jobs/{job_id}")

    def metrics(self, job_id: int) -> list[MetricPoint]:
        """Every value of a job's metrics, by name and step."""
        path = f"jobs/{job_id}/metrics"
        latest = self._api.request("GET", path)
        with expect_shape(path):
            shapes.check(latest, [{"name": str}])
        points = [
            point for body in latest for point in self._series(job_id, body["name"])
        ]
        return sorted(points, key=lambda point: (point.name, point.step))

    def artifacts(self, job_id: int) -> list[Artifact]:
        """The artifacts that a job has stored, the oldest first."""
        return self._api.artifacts(job_id)

    def _series(self, job_id: int, name: str) -> Iterator[MetricPoint]:
        """Yield a metric's values; here alone, the API's index counts pages."""
        path = f"jobs/{job_id}/metrics/{quote(name, safe='')}/snapshots"
        seen = 0
        for page in range(MAX_PAGES):
            paging = {"index": page, "pageLength": PAGE_LENGTH}
            body = self._api.request("GET", path, params=paging)
            with expect_shape(path):
                total = of_kind(body["totalNumResults"], int)
                points = [
                    MetricPoint(
                        name=name,
                        value=float(entry["value"]),
                        step=of_kind(entry.get("step") or 0, int),
                    )
                    for entry in body["data"]
                ]
            yield from points
            seen += len(points)
            if not points or seen >= total:
                return

    def _shown(self, path: str, shape: shapes.Shape, **options: Any) -> dict[str, Any]:
        """What the API shows, which has a shape."""
        body: dict[str, Any] = self._api.request("GET", path, **options)
        with expect_shape(path):
            shapes.check(body, shape)
        return body

    def _of_name(self, kind: str, name: str) -> Iterator[dict[str, Any]]:
        """All of a kind that have a name, at most one in each group."""
        rest = name.lstrip(" ")
        # The API's search passes over blanks at the beginning, and takes upper and
        # lower case as the same.
        pattern = "?" * (len(name) - len(rest)) + rest
        for body in self._named(kind, search=f'name:"{pattern}"'):
            if body["name"] == name:
                yield body

    def _named(self, kind: str, **query: Any) -> Iterator[dict[str, Any]]:
        """All that the user can see of a kind."""
        path = f"{kind}/"
        for body in self._api.pages(path, **query):
            with expect_shape(path):
                shapes.check(body, shapes.NAMED)
            yield body
