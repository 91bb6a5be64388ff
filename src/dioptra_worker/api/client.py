"""The calls of the Dioptra REST API that the worker makes, by what they are for."""

from __future__ import annotations

import contextlib
import html
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dioptra_worker.api.errors import expect_shape, of_kind, refuse_deleted
from dioptra_worker.api.escaped_text import unescaped
from dioptra_worker.api.models import Artifact, ArtifactParameter, Job, resource_id
from dioptra_worker.api.session import MAX_PAGES, STORE_TIMEOUT, ApiSession
from dioptra_worker.common.files.archives import MAX_ARTIFACT_BYTES, MAX_BUNDLE_BYTES
from dioptra_worker.errors import (
    Conflict,
    ServiceError,
    ServiceRefused,
)
from dioptra_worker.provenance import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dioptra_worker.api.session import DownloadStream, OnBytes
    from dioptra_worker.protocol.messages import Log

MAX_PAGE_LENGTH = 1000
JOBS_PER_PAGE = 100
"""Jobs that are listed at once: the API takes some milliseconds for each."""
MAX_DECLARED_SNAPSHOTS = 100
"""Snapshots of entrypoints whose parameters are kept; one that is edited has many."""
_TAR = {"fileType": "tar_gz"}
_BUNDLE: Any = {"params": _TAR, "max_bytes": MAX_BUNDLE_BYTES}
_RUN_ID = re.compile("(?:[0-9a-f]{32})?")


class DioptraApi(ApiSession):
    """The REST API for one user; safe to use from several threads."""

    @cached_property
    def _declared(self) -> dict[tuple[str, int], tuple[Parameter, ...]]:
        """The parameters of entrypoint snapshots by API and id, the latest last."""
        return {}

    def job(self, job_id: int) -> Job:
        """Fetch a job; `NotFound` when it was deleted, also if the API still has it."""
        path = f"jobs/{job_id}"
        body = self._json("GET", path)
        with expect_shape(path):
            job = Job.read(body)
        refuse_deleted(body, f"job {job_id}")
        return job

    def jobs_with_status(
        self, status: str, *, index: int = 0
    ) -> tuple[list[dict[str, Any]], int]:
        """Some of the jobs with a status, the oldest first, as the API shows them.

        It takes some milliseconds for each job that it lists.

        Args:
            status: The status.
            index: How many of the oldest to leave out.

        Returns:
            `JOBS_PER_PAGE` jobs at most, and how many there are in all.
        """
        path = "jobs/"
        query = {
            "search": f'status:"{status}"',
            "sortBy": "createdOn",
            "descending": "false",
            "index": index,
            "pageLength": JOBS_PER_PAGE,
        }
        found, total = self._page(path, query)
        with expect_shape(path):
            return [of_kind(body, dict) for body in found], total

    def set_status(self, experiment_id: int, job_id: int, status: str) -> None:
        """Move a job to another status; a refused transition is `ServiceRefused`."""
        self._json(
            "PUT",
            f"experiments/{experiment_id}/jobs/{job_id}/status",
            json={"status": status},
        )

    def set_mlflow_run(self, job_id: int, run_id: str) -> None:
        """Say which MLflow run a job has; setting the same one twice is harmless."""
        try:
            self._json("POST", f"jobs/{job_id}/mlflowRun", json={"mlflowRunId": run_id})
        except ServiceRefused as error:
            if error.status != 400 or self.mlflow_run(job_id) != run_id:
                raise

    def mlflow_run(self, job_id: int) -> str | None:
        """The MLflow run that the API knows for a job, as 32 hexadecimal digits."""
        path = f"jobs/{job_id}/mlflowRun"
        body = self._mapping(path)
        with expect_shape(path):
            run = of_kind(body.get("mlflowRunId") or "", str).replace("-", "")
            if not _RUN_ID.fullmatch(run):
                raise ValueError(f"{run[:80]!r} is no id of an MLflow run")
            return run or None

    def job_config(self, job_id: int) -> dict[str, Any]:
        """The task graph of a job, swaps chosen.

        Raises:
            NotFound: The job was deleted.
            PathUnknown: The platform has it under the entrypoint only (before 1.2).
        """
        return self._mapping(f"jobs/{job_id}/config")

    def entrypoint_config(self, job: Job) -> dict[str, Any]:
        """The task graph of a job's entrypoint, in which no swap is chosen."""
        return self._mapping(f"{_snapshot(job)}/config")

    def parameters(self, job_id: int) -> dict[str, Any]:
        """A job's typed values for the global parameters, by name."""
        return self._mapping(f"jobs/{job_id}/parameters")

    def artifact_parameters(self, job_id: int) -> list[ArtifactParameter]:
        """The artifacts that a job reads."""
        path = f"jobs/{job_id}/artifactParameters"
        body = self._mapping(path)
        with expect_shape(path):
            return [ArtifactParameter.read(name, entry) for name, entry in body.items()]

    def artifact_plugins(self, job: Job) -> list[dict[str, Any]]:
        """The plugins whose artifact tasks a job may write with."""
        path = f"{_snapshot(job)}/artifactPlugins"
        body = self._json("GET", path)
        with expect_shape(path):
            return [of_kind(plugin, dict) for plugin in of_kind(body, list)]

    def plugins_bundle(
        self, job: Job, target: Path, on_bytes: OnBytes = lambda _: None
    ) -> None:
        """Download the plugins of a job's tasks as ``tar.gz``."""
        self._download(f"{_snapshot(job)}/plugins/bundle", target, on_bytes, **_BUNDLE)

    def artifact_plugins_bundle(
        self, job: Job, target: Path, on_bytes: OnBytes = lambda _: None
    ) -> None:
        """Download the plugins of a job's artifact tasks as ``tar.gz``."""
        path = f"{_snapshot(job)}/artifactPlugins/bundle"
        self._download(path, target, on_bytes, **_BUNDLE)

    def plugin_bundle(
        self,
        plugin_id: int,
        snapshot_id: int,
        target: Path,
        on_bytes: OnBytes = lambda _: None,
    ) -> None:
        """Download one plugin snapshot as ``tar.gz``."""
        path = f"plugins/{plugin_id}/snapshots/{snapshot_id}/files/bundle"
        self._download(path, target, on_bytes, **_BUNDLE)

    def declared_parameters(self, job: Job) -> tuple[Parameter, ...]:
        """All parameters of a job's entrypoint; those of the latest ones are kept."""
        key = (self.identity(), job.entrypoint_snapshot_id)
        known = self._declared.pop(key, None)
        if known is None:
            path = _snapshot(job)
            body = self._mapping(path)
            with expect_shape(path):
                known = tuple(map(Parameter.read, body["parameters"]))
        self._declared[key] = known
        # A list is made in one step, whatever other threads put there meanwhile.
        for oldest in list(self._declared)[:-MAX_DECLARED_SNAPSHOTS]:
            self._declared.pop(oldest, None)
        return known

    def artifact(self, artifact_id: int) -> Artifact:
        """An artifact as it is described now."""
        path = f"artifacts/{artifact_id}"
        body = self._mapping(path)
        with expect_shape(path):
            return Artifact.read(body)

    def artifacts(self, job_id: int) -> list[Artifact]:
        """The artifacts that a job has made known, the oldest first; one by one."""
        path = f"jobs/{job_id}"
        body = self._mapping(path)
        with expect_shape(path):
            ids = sorted(resource_id(entry["id"]) for entry in body["artifacts"])
        return [self.artifact(id_) for id_ in ids]

    def artifact_extent(self, artifact_id: int) -> tuple[int, int | None]:
        """How many files a folder has now, and bytes; None if nobody tells."""
        try:
            files = self._json("GET", f"artifacts/{artifact_id}/files")
            sizes = [
                of_kind(it["fileSize"] or 0, int) for it in files if not it["isDir"]
            ]
        except (ServiceError, LookupError, TypeError):
            return 0, None
        if not all(0 <= size <= MAX_ARTIFACT_BYTES for size in sizes):
            return 0, None
        return len(sizes), sum(sizes) if sizes else None

    def artifact_contents(
        self,
        artifact: ArtifactParameter,
        target: Path,
        on_bytes: OnBytes = lambda _: None,
        *,
        extra_timeout: float = 0.0,
    ) -> None:
        """Download an artifact: the file itself, or a folder as ``tar.gz``.

        The API fetches all of it from its store before it sends the first byte.

        Args:
            artifact: What to download.
            target: The file to download to.
            on_bytes: Told what has come.
            extra_timeout: Seconds that the API may be silent beyond its usual limit.
        """
        path = _contents(artifact.artifact_id, artifact.artifact_snapshot_id)
        params = _TAR if artifact.is_dir else {}
        self._download(
            path,
            target,
            on_bytes,
            params=params,
            max_bytes=MAX_ARTIFACT_BYTES,
            extra_timeout=extra_timeout,
        )

    def open_artifact(
        self, artifact_id: int, snapshot_id: int, *, is_dir: bool
    ) -> DownloadStream:
        """Begin to download an artifact: a file as it is, a folder as ``tar.gz``."""
        path = _contents(artifact_id, snapshot_id)
        return self._open(path, params=_TAR if is_dir else {}, timeout=STORE_TIMEOUT)

    def post_log(self, job_id: int, records: Sequence[Log]) -> None:
        """Append records to a job's log, in order.

        The server strips what looks like HTML from the text, so it is sent escaped
        and readers unescape it.
        """
        data = [
            {
                "severity": record.severity,
                "loggerName": html.escape(record.logger, quote=False),
                "message": html.escape(record.message, quote=False),
            }
            for record in records
        ]
        self._json("POST", f"jobs/{job_id}/log", json={"data": data})

    def log_backwards(self, job_id: int, *, first: int) -> Iterator[list[str]]:
        """The texts of a job's log as they were sent, from its end, page by page.

        That settles whether a request whose answer was lost has arrived.

        Args:
            job_id: The job.
            first: How many records the first page has; the others have more.
        """
        path, end = f"jobs/{job_id}/log", self.count_log(job_id)
        size = min(first, MAX_PAGE_LENGTH)
        for _ in range(MAX_PAGES):
            if end <= 0:
                return
            begin = max(0, end - size)
            found, _ = self._page(path, {"index": begin, "pageLength": end - begin})
            with expect_shape(path):
                texts = [unescaped(entry["message"]) for entry in found]
            yield texts
            end, size = begin, MAX_PAGE_LENGTH

    def count_log(self, job_id: int) -> int:
        """How many records a job's log has."""
        _, total = self._page(f"jobs/{job_id}/log", {"pageLength": 1})
        return total

    def count_metric(self, job_id: int, name: str) -> int:
        """How many points of a metric a job has: one for each step."""
        path = f"jobs/{job_id}/metrics/{quote(name, safe='')}/snapshots"
        _, total = self._page(path, {"index": 0, "pageLength": 1})
        return total

    def post_metric(
        self, job_id: int, name: str, value: float | str, step: int | None
    ) -> None:
        """Set a metric's value at a step; the same name and step overwrites."""
        body = {"name": name, "value": value}
        if step is not None:
            body["step"] = step
        self._json("POST", f"jobs/{job_id}/metrics", json=body)

    def register_artifact(
        self,
        *,
        group_id: int,
        job_id: int,
        uri: str,
        plugin_snapshot_id: int,
        task_id: int,
        description: str,
    ) -> None:
        """Make an artifact known; one that is known already is left as it is."""
        body = {
            "group": group_id,
            "job": job_id,
            "artifactUri": uri,
            "pluginSnapshotId": plugin_snapshot_id,
            "taskId": task_id,
            "description": description,
        }
        with contextlib.suppress(Conflict):
            self._json("POST", "artifacts/", json=body)

    def artifact_uris(self, job_id: int) -> set[str]:
        """Where the artifacts lie that a job has made known; a request for each."""
        return {artifact.uri for artifact in self.artifacts(job_id)}

    def queue_names(self) -> list[str]:
        """The names of all queues that the user can see."""
        path = "queues/"
        found = list(self.pages(path))
        with expect_shape(path):
            return [of_kind(queue["name"], str) for queue in found]


def _contents(artifact_id: int, snapshot_id: int) -> str:
    return f"artifacts/{artifact_id}/snapshots/{snapshot_id}/contents"


def _snapshot(job: Job) -> str:
    return f"entrypoints/{job.entrypoint_id}/snapshots/{job.entrypoint_snapshot_id}"
