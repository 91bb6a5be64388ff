"""Frozen records of what the Dioptra REST API answers; each reads itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from dioptra_worker.api.errors import of_kind
from dioptra_worker.api.escaped_text import unescaped
from dioptra_worker.provenance import DELETED, WorkerRun, with_defaults

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_ID = (1 << 63) - 1
TERMINAL = {"finished", "failed"}
"""The statuses of a job that is over."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job.

    Attributes:
        id: The job's id.
        experiment_id: The experiment that it belongs to.
        group_id: The group that owns it.
        status: ``queued``, ``started``, ``deferred``, ``finished``, ``failed`` or
            ``reset``.
        entrypoint_id: The entrypoint that it runs.
        entrypoint_snapshot_id: The entrypoint's immutable state when submitted.
        entrypoint_name: The entrypoint's name.
        queue: The queue that it was submitted to.
        user: Who submitted it.
        inputs: Artifact and snapshot id of each artifact that it reads, by name.
        swaps: The chosen task alias by the swap's name.
        created: When it was submitted, as the API writes it.
    """

    id: int
    experiment_id: int
    group_id: int
    status: str
    entrypoint_id: int
    entrypoint_snapshot_id: int
    entrypoint_name: str
    queue: str
    user: str = ""
    inputs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    swaps: Mapping[str, str] = field(default_factory=dict)
    created: str = ""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read the API's answer to ``GET /jobs/{id}``."""
        entrypoint = body["entrypoint"]
        return cls(
            id=resource_id(body["id"]),
            experiment_id=resource_id(body["experiment"]["id"]),
            group_id=resource_id(body["group"]["id"]),
            status=of_kind(body["status"], str),
            entrypoint_id=resource_id(entrypoint["id"]),
            entrypoint_snapshot_id=resource_id(entrypoint["snapshotId"]),
            entrypoint_name=of_kind(entrypoint["name"], str),
            queue=of_kind((body.get("queue") or {}).get("name", ""), str),
            user=of_kind((body.get("user") or {}).get("username", ""), str),
            inputs={
                name: (resource_id(value["id"]), resource_id(value["snapshotId"]))
                for name, value in (body.get("artifactValues") or {}).items()
            },
            swaps={
                of_kind(swap["swapName"], str): of_kind(swap["taskAlias"], str)
                for swap in body.get("swaps") or []
            },
            created=of_kind(body.get("createdOn") or "", str),
        )

    def worker_run(
        self,
        parameters: Mapping[str, Any],
        defaults: Mapping[str, Any],
        *,
        data: Collection[str],
        user: str | None = None,
    ) -> WorkerRun:
        """The worker run that it belongs to.

        Args:
            parameters: Its typed values, by name.
            defaults: Those that its entrypoint declares.
            data: The parameters that say what to work on.
            user: Whose personal worker run it stands for; None if for none.
        """
        return WorkerRun(
            experiment_id=self.experiment_id,
            entrypoint_id=self.entrypoint_id,
            entrypoint_snapshot_id=self.entrypoint_snapshot_id,
            inputs=self.inputs,
            swaps=self.swaps,
            configuration=with_defaults(parameters, defaults),
            user=user,
        ).without(data)


@dataclass(frozen=True, kw_only=True)
class ArtifactParameter:
    """An artifact that a job reads.

    Attributes:
        name: Its name in the task graph.
        artifact_id: The artifact.
        artifact_snapshot_id: Its immutable state.
        uri: Where the artifact store has it.
        is_dir: Whether it is a folder.
        plugin_id: The plugin with the code that reads it.
        plugin_snapshot_id: That plugin's immutable state.
        plugin_name: That plugin's name.
        file_name: The plugin file, such as ``artifacts.py``.
        task: The class in that file.
        outputs: The names of the values that reading it gives.
    """

    name: str
    artifact_id: int
    artifact_snapshot_id: int
    uri: str
    is_dir: bool
    plugin_id: int
    plugin_snapshot_id: int
    plugin_name: str
    file_name: str
    task: str
    outputs: tuple[str, ...]

    @property
    def module(self) -> str:
        """The plugin file's module."""
        return module_name(self.file_name)

    @classmethod
    def read(cls, name: str, body: Mapping[str, Any]) -> Self:
        """Read one entry of ``GET /jobs/{id}/artifactParameters``."""
        task = body["artifact_task"]
        return cls(
            name=name,
            artifact_id=resource_id(body["artifact_id"]),
            artifact_snapshot_id=resource_id(body["artifact_snapshot_id"]),
            uri=of_kind(body["artifact_uri"], str),
            is_dir=bool(body["is_dir"]),
            plugin_id=resource_id(task["plugin_id"]),
            plugin_snapshot_id=resource_id(task["plugin_snapshot_id"]),
            plugin_name=package_name(task["plugin_name"]),
            file_name=_importable(task["file_name"]),
            task=of_kind(task["task_name"], str),
            outputs=tuple(of_kind(it["name"], str) for it in task["outputs"]),
        )


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An artifact that a job has stored, as it is described now.

    Attributes:
        id: The artifact.
        snapshot_id: Its immutable state.
        job_id: The job that made it.
        uri: Where the artifact store has it.
        is_dir: Whether it is a folder.
        size: Its bytes; None for a folder, or where the API does not tell.
        description: What it is said to be.
        task: The artifact task that wrote it and can read it; empty for none.
        task_id: That artifact task's id.
        plugin_snapshot_id: The immutable state of the plugin that has it.
    """

    id: int
    snapshot_id: int
    job_id: int
    uri: str
    is_dir: bool
    size: int | None = None
    description: str = ""
    task: str = ""
    task_id: int | None = None
    plugin_snapshot_id: int | None = None

    @property
    def file_name(self) -> str:
        """The file's or folder's own name."""
        return self.uri.rstrip("/").rpartition("/")[2]

    @property
    def is_deleted(self) -> bool:
        """Whether its contents were deleted; the API keeps the record."""
        return self.description.startswith(DELETED)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read the API's answer to ``GET /artifacts/{id}``.

        Raises:
            TypeError: A part of it is not what it should be.
            LookupError: A part of it is missing.
        """
        task = body.get("task") or {}
        size = body.get("fileSize")
        return cls(
            id=resource_id(body["id"]),
            snapshot_id=resource_id(body["snapshot"]),
            job_id=resource_id(body["job"]),
            uri=of_kind(body["artifactUri"], str),
            is_dir=of_kind(body["isDir"], bool),
            size=size if isinstance(size, int) and 0 <= size <= MAX_ID else None,
            description=of_kind(body.get("description") or "", str),
            task=of_kind(task.get("name", ""), str),
            task_id=_id_or_none(task.get("id")),
            plugin_snapshot_id=_id_or_none(task.get("pluginResourceSnapshotId")),
        )


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """A job's status, and since when it had it."""

    status: str
    at: datetime

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read one entry of ``GET /jobs/{id}/snapshots``."""
        at = moment(body["snapshotCreatedOn"])
        return cls(status=of_kind(body["status"], str), at=at)


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One record of a job's log, as its author wrote it.

    Attributes:
        severity: ``DEBUG``, ``INFO``, ``WARNING``, ``ERROR`` or ``CRITICAL``.
        logger: Who wrote it.
        message: The text.
        stored: When the API got it.
    """

    severity: str
    logger: str
    message: str
    stored: datetime | None = None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read one entry of ``GET /jobs/{id}/log``; the API keeps text escaped."""
        return cls(
            severity=of_kind(body["severity"], str),
            logger=unescaped(body["loggerName"]),
            message=unescaped(body["message"]),
            stored=moment(body["createdOn"]),
        )


@dataclass(frozen=True, kw_only=True)
class MetricPoint:
    """A metric's value at one step of its series."""

    name: str
    value: float
    step: int


def moment(value: Any) -> datetime:
    """A time as the API writes it; one without a zone is in UTC."""
    found = datetime.fromisoformat(of_kind(value, str))
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def resource_id(value: Any) -> int:
    """An id, which becomes part of addresses and of folders' names.

    Raises:
        TypeError: It is no integer.
        ValueError: It is not positive, or larger than any database's.
    """
    number = of_kind(value, int)
    if not 0 < number <= MAX_ID:
        raise ValueError(f"{str(number)[:80]} is no id")
    return number


def _id_or_none(value: Any) -> int | None:
    return None if value is None else resource_id(value)


def package_name(value: Any) -> str:
    """A plugin's name, which is imported.

    Raises:
        TypeError: It is no text.
        ValueError: It is no name of a package.
    """
    name = of_kind(value, str)
    if not name.isidentifier():
        raise ValueError(f"{name[:80]!r} is no name of a plugin")
    return name


def module_name(file_name: Any) -> str:
    """The dotted module of a plugin file: ``io.images`` for ``io/images.py``.

    Raises:
        TypeError: It is no text.
        ValueError: It is no path below a plugin's folder.
    """
    parts = PurePosixPath(of_kind(file_name, str)).with_suffix("").parts
    if not all(part.isidentifier() for part in parts):
        raise ValueError(f"{file_name[:80]!r} is no name of a plugin's file")
    return ".".join(parts)


def _importable(file_name: Any) -> str:
    module_name(file_name)
    return of_kind(file_name, str)
