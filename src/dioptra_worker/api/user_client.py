"""The calls that people's tools make: import, submit, read back.

The worker itself needs none of it. Errors are those of `DioptraApi`.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

from dioptra_worker.api.models import LogLine, MetricPoint, StatusChange
from dioptra_worker.api.session import PAGE_LENGTH
from dioptra_worker.errors import NotFound, PathUnknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact


class UserClient:
    """The calls of the REST API that are about resources and submitted jobs.

    Args:
        api: A session; logged in when the first call is made.
    """

    def __init__(self, api: DioptraApi) -> None:
        self._api = api

    # -- resources -------------------------------------------------------------

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
        body = self._api.request(
            "POST",
            "workflows/resourceImport",
            data={
                "group": group,
                "sourceType": "upload_archive",
                "configPath": "dioptra.toml",
                "resolveNameConflictsStrategy": strategy,
            },
            files={"archiveFile": ("resources.tar.gz", archive, "application/gzip")},
        )
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
        for body in self._api.pages(f"{kind}/", search=f'name:"{name}"'):
            if body["name"] == name:
                return int(body["id"])
        return None

    def names(self, kind: str) -> list[str]:
        """The names of all resources of a kind that the user can see."""
        return [body["name"] for body in self._api.pages(f"{kind}/")]

    def entrypoint(self, entrypoint: int) -> dict[str, Any]:
        """An entrypoint as the API shows it."""
        body: dict[str, Any] = self._api.request("GET", f"entrypoints/{entrypoint}")
        return body

    def swaps(self, entrypoint: int, snapshot: int) -> dict[str, list[str]]:
        """The choices that an entrypoint leaves to its jobs, by the swaps' names.

        Before 1.2 there are no swaps.
        """
        path = f"entrypoints/{entrypoint}/snapshots/{snapshot}/swaps"
        choices: dict[str, list[str]] = {}
        with contextlib.suppress(NotFound, PathUnknown):
            for body in self._api.request("GET", path):
                choices.setdefault(body["swapName"], []).append(body["taskAlias"])
        return choices

    def artifact(self, artifact: int) -> Artifact:
        """An artifact."""
        return self._api.artifact(artifact)

    def create_experiment(self, name: str, *, group: int) -> int:
        """Create an experiment; its id."""
        body = {"group": group, "name": name, "description": ""}
        return int(self._api.request("POST", "experiments/", json=body)["id"])

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
        return {body["name"]: int(body["id"]) for body in self._api.pages("tags/")}

    def tagged_entrypoints(self, tag: int) -> list[int]:
        """The entrypoints that have a tag.

        The API answers with addresses that are not those of its own routes.
        """
        places = self._api.pages(f"tags/{tag}/resources")
        parts = [str(place).rstrip("/").rsplit("/", 2) for place in places]
        return [int(id_) for _, kind, id_ in parts if kind.startswith("entry")]

    def whoami(self) -> str:
        """The name of the user that is logged in."""
        return str(self._api.request("GET", "users/current")["username"])

    # -- jobs ------------------------------------------------------------------

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
        body = self._api.request("GET", path, params=query)
        return body["data"], int(body["totalNumResults"])

    def job(self, job_id: int) -> dict[str, Any]:
        """A job as the API shows it.

        Raises:
            NotFound: There is none, or it was deleted.
        """
        body: dict[str, Any] = self._api.request("GET", f"jobs/{job_id}")
        return body

    def create_job(self, experiment: int, body: Mapping[str, Any]) -> int:
        """Submit a job; its id."""
        path = f"experiments/{experiment}/jobs"
        return int(self._api.request("POST", path, json=dict(body))["id"])

    def timeline(self, job_id: int) -> list[StatusChange]:
        """Every status that a job had, the oldest first."""
        bodies = self._api.pages(f"jobs/{job_id}/snapshots")
        return sorted(map(StatusChange.read, bodies), key=lambda change: change.at)

    def second_status(self, job_id: int) -> tuple[StatusChange | None, int]:
        """The second status that a job had, and how many there are.

        The API takes about as long for one of them as for a job.
        """
        path = f"jobs/{job_id}/snapshots"
        body = self._api.request("GET", path, params={"index": 1, "pageLength": 1})
        found = [StatusChange.read(entry) for entry in body["data"]]
        return (found[0] if found else None), int(body["totalNumResults"])

    def log(self, job_id: int, *, start: int = 0) -> list[LogLine]:
        """A job's log, in order.

        Args:
            job_id: The job; nothing is said about one that does not exist.
            start: How many records to leave out at the beginning.
        """
        pages = self._api.pages(f"jobs/{job_id}/log", start=start)
        return [LogLine.read(body) for body in pages]

    def metrics(self, job_id: int) -> list[MetricPoint]:
        """Every value of a job's metrics, by name and step."""
        points: list[MetricPoint] = []
        for latest in self._api.request("GET", f"jobs/{job_id}/metrics"):
            name = latest["name"]
            points += [
                MetricPoint(
                    name=name, value=float(body["value"]), step=body.get("step") or 0
                )
                for body in self._series(job_id, name)
            ]
        return sorted(points, key=lambda point: (point.name, point.step))

    def artifacts(self, job_id: int) -> list[Artifact]:
        """The artifacts that a job has stored, the oldest first."""
        return self._api.artifacts(job_id)

    def _series(self, job_id: int, name: str) -> Iterator[dict[str, Any]]:
        """Yield a metric's values; here alone, the API's index counts pages."""
        path = f"jobs/{job_id}/metrics/{name}/snapshots"
        seen = 0
        for page in itertools.count():
            paging = {"index": page, "pageLength": PAGE_LENGTH}
            body = self._api.request("GET", path, params=paging)
            yield from body["data"]
            seen += len(body["data"])
            if not body["data"] or seen >= body["totalNumResults"]:
                return
