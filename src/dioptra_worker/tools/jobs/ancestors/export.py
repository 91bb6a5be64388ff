"""A lineage for programs: what JSON holds, and Graphviz draws."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from dioptra_worker.tools.jobs.ancestors.graph import (
        ArtifactNode,
        JobNode,
        Lineage,
        Read,
    )


def document(lineage: Lineage) -> dict[str, Any]:
    """A lineage in JSON's types; docs/reference/lineage.md has their meaning."""
    return {
        "root": {
            "kind": "job" if lineage.job else "artifact",
            "id": lineage.job or lineage.artifact,
        },
        "jobs": [_job(lineage, job) for job in lineage.jobs.values()],
        "artifacts": [_artifact(lineage, it) for it in lineage.artifacts.values()],
        "complete": not lineage.left_out,
        "left_out": lineage.left_out or None,
        "notes": list(lineage.notes),
    }


def _job(lineage: Lineage, job: JobNode) -> dict[str, Any]:
    return {
        "id": job.id,
        "deleted": job.is_deleted,
        "status": job.status or None,
        "entrypoint": job.entrypoint or None,
        "entrypoint_snapshot_id": job.snapshot or None,
        "worker_run": job.worker_run or None,
        "mlflow_run": job.run_id or None,
        "manifest": job.manifest or None,
        "source": job.source,
        "reads": [_read(lineage, read) for read in job.reads],
        "trouble": job.trouble or None,
    }


def _read(lineage: Lineage, read: Read) -> dict[str, Any]:
    return {
        "name": read.name,
        "artifact": read.artifact,
        "snapshot": read.snapshot,
        "as_written": lineage.is_as_written(read),
    }


def _artifact(lineage: Lineage, node: ArtifactNode) -> dict[str, Any]:
    contents = lineage.contents(node.id)
    return {
        "id": node.id,
        "known": not node.is_unknown,
        "deleted": node.is_deleted,
        "job": node.job or None,
        "uri": node.uri or None,
        "bytes": node.size,
        "files": [
            {name: value for name, value in asdict(file).items() if name != "etag"}
            for file in contents.files
        ],
        "files_by_manifest_of": contents.job or None,
    }


def dot(lineage: Lineage) -> str:
    """A lineage in Graphviz's language: from causes on the left to the result."""
    lines = ["digraph lineage {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    for job in lineage.jobs.values():
        words = [f"job {job.id}", job.entrypoint, job.status]
        words += ["deleted"] if job.is_deleted else []
        style = ', style="dashed"' if job.is_deleted else ""
        lines.append(f"  job{job.id} [shape=box, label={_quoted(words)}{style}];")
    for node in lineage.artifacts.values():
        words = [f"artifact {node.id}", node.file_name]
        words += ["deleted"] if node.is_deleted else []
        words += ["no record"] if node.is_unknown else []
        gone = node.is_deleted or node.is_unknown
        style = ', style="dashed"' if gone else ""
        name = f"artifact{node.id}"
        lines.append(f"  {name} [shape=ellipse, label={_quoted(words)}{style}];")
        if node.job and node.job not in lineage.jobs:
            label = _quoted([f"job {node.job}", "left out"])
            lines.append(f'  job{node.job} [shape=box, label={label}, style="dotted"];')
        if node.job:
            lines.append(f"  job{node.job} -> {name};")
    for job in lineage.jobs.values():
        for read in job.reads:
            words = [read.name]
            words += ["changed"] if lineage.is_as_written(read) is False else []
            label = _quoted(words)
            lines.append(f"  artifact{read.artifact} -> job{job.id} [label={label}];")
    return "\n".join([*lines, "}"])


def _quoted(words: list[str]) -> str:
    """A label of some lines; nothing in it means anything to Graphviz."""
    plain = [one_line(word) for word in words if word]
    escaped = (it.replace("\\", "\\\\").replace('"', '\\"') for it in plain)
    return '"' + "\\n".join(escaped) + '"'
