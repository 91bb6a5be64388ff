"""Frozen records of what the Dioptra REST API answers; only what the worker needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


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

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read the API's answer to ``GET /jobs/{id}``."""
        entrypoint = body["entrypoint"]
        return cls(
            id=body["id"],
            experiment_id=body["experiment"]["id"],
            group_id=body["group"]["id"],
            status=body["status"],
            entrypoint_id=entrypoint["id"],
            entrypoint_snapshot_id=entrypoint["snapshotId"],
            entrypoint_name=entrypoint["name"],
            queue=(body.get("queue") or {}).get("name", ""),
            user=(body.get("user") or {}).get("username", ""),
            inputs={
                name: (value["id"], value["snapshotId"])
                for name, value in (body.get("artifactValues") or {}).items()
            },
            swaps={
                swap["swapName"]: swap["taskAlias"] for swap in body.get("swaps") or []
            },
        )


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

    @classmethod
    def read(cls, name: str, body: Mapping[str, Any]) -> Self:
        """Read one entry of ``GET /jobs/{id}/artifactParameters``."""
        task = body["artifact_task"]
        return cls(
            name=name,
            artifact_id=body["artifact_id"],
            artifact_snapshot_id=body["artifact_snapshot_id"],
            uri=body["artifact_uri"],
            is_dir=bool(body["is_dir"]),
            plugin_id=task["plugin_id"],
            plugin_snapshot_id=task["plugin_snapshot_id"],
            plugin_name=task["plugin_name"],
            file_name=task["file_name"],
            task=task["task_name"],
            outputs=tuple(output["name"] for output in task["outputs"]),
        )


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What the API says of an artifact.

    Attributes:
        description: What it is said to be.
        size: Its bytes; None for a folder, or where the API does not tell.
    """

    description: str
    size: int | None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read the API's answer to ``GET /artifacts/{id}``."""
        size = body.get("fileSize")
        return cls(
            description=str(body.get("description") or ""),
            size=size if isinstance(size, int) else None,
        )


@dataclass(frozen=True, kw_only=True)
class LogRecord:
    """One record of a job's log, as text for people (not yet escaped)."""

    severity: str
    logger: str
    message: str
