"""A job as a Workflow Run RO-Crate: what galleries and other tools read; pure.

Sources: RO-Crate 1.1; Process Run Crate and Workflow Run Crate 0.5; Workflow RO-Crate
1.0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dioptra_worker.provenance.manifest import Manifest, ParameterValue

_CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    "https://w3id.org/ro/terms/workflow-run/context",
]
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_VERSIONS = {"Workflow RO-Crate": "1.0"}
_FORMAL = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
_WORKFLOW = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_TYPES = {
    "string": "Text",
    "integer": "Integer",
    "float": "Float",
    "boolean": "Boolean",
    "list": "Text",
    "mapping": "Text",
}
_LANGUAGE = "#dioptra-task-graph"
_RUN = "#run"


@dataclass(frozen=True, kw_only=True)
class CrateFile:
    """One file of a crate.

    Attributes:
        path: Its path in the crate.
        size: Its bytes.
        sha256: Its SHA-256 in hexadecimal.
        what: What it is, in words.
    """

    path: str
    size: int
    sha256: str
    what: str = ""


def metadata(
    manifest: Manifest,
    files: Sequence[CrateFile],
    *,
    graph: str,
    inputs: Mapping[str, Sequence[str]],
    outputs: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """The document ``ro-crate-metadata.json``.

    Args:
        manifest: The job's manifest.
        files: All files of the crate but this document.
        graph: The path of the task graph.
        inputs: The paths of the files of each input artifact that are in the crate.
        outputs: The same of the output artifacts.
    """
    job = manifest.job
    given = [_parameter(one) for one in manifest.plan.parameters]
    read = {name: _data(paths) for name, paths in inputs.items() if paths}
    wrote = {name: _data(paths) for name, paths in outputs.items() if paths}
    title = f"Job {job.id} of {job.entrypoint.name}"
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": title,
        "description": f"{title}: what it was run on and what came of it.",
        "datePublished": job.ended,
        "license": "None is given: ask who submitted the job.",
        "conformsTo": [{"@id": each} for each in _PROFILES],
        "hasPart": [{"@id": _id(file.path)} for file in files],
        "mainEntity": {"@id": _id(graph)},
        "mentions": [{"@id": _RUN}],
    }
    folders = [each for kind in (read, wrote) for each in kind.values()]
    root["hasPart"] += [{"@id": it["@id"]} for it in folders if len(it) > 1]
    examples = {
        unquote(it["@id"]) if len(it) == 1 else it["@id"]: {
            "exampleOfWork": {"@id": _formal(kind, name)}
        }
        for kind, found in (("input", read), ("output", wrote))
        for name, it in found.items()
    }
    entities: list[dict[str, Any]] = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": [
                {"@id": "https://w3id.org/ro/crate/1.1"},
                {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
            ],
        },
        root,
        *_profiles(),
        *(
            _file(file, graph=graph, manifest=manifest) | examples.pop(file.path, {})
            for file in files
        ),
        *(it | examples[it["@id"]] for it in folders if len(it) > 1),
        {
            "@id": _LANGUAGE,
            "@type": "ComputerLanguage",
            "name": "Dioptra task graph",
            "url": {"@id": "https://pages.nist.gov/dioptra/"},
        },
        *_declared(manifest),
        *given,
        _worker(manifest),
        _action(manifest, given, read, wrote, graph=graph),
    ]
    if job.user:
        user = {"@id": f"#user-{quote(job.user)}", "@type": "Person", "name": job.user}
        entities.append(user)
    return {"@context": _CONTEXT, "@graph": entities}


def _profiles() -> list[dict[str, Any]]:
    return [
        {
            "@id": each,
            "@type": "CreativeWork",
            "name": name,
            "version": _VERSIONS.get(name, "0.5"),
        }
        for each, name in _PROFILES.items()
    ]


def _file(file: CrateFile, *, graph: str, manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = {
        "@id": _id(file.path),
        "@type": "File",
        "name": file.path.rpartition("/")[2],
        "contentSize": str(file.size),
        "sha256": file.sha256,
    }
    if file.what:
        found["description"] = file.what
    if file.path == graph:
        found |= {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": manifest.job.entrypoint.name or "entrypoint",
            "conformsTo": {"@id": _WORKFLOW},
            "programmingLanguage": {"@id": _LANGUAGE},
            "input": [
                *(
                    {"@id": _formal("parameter", one.name)}
                    for one in manifest.plan.parameters
                ),
                *({"@id": _formal("input", one.name)} for one in manifest.inputs),
            ],
            "output": [
                {"@id": _formal("output", one.name)} for one in manifest.outputs
            ],
        }
    return found


def _declared(manifest: Manifest) -> list[dict[str, Any]]:
    """The formal parameters of the task graph."""
    found = [
        {
            "@id": _formal("parameter", it.name),
            "@type": "FormalParameter",
            "conformsTo": {"@id": _FORMAL},
            "name": it.name,
            "additionalType": _TYPES.get(it.type, "Text"),
        }
        for it in manifest.plan.parameters
    ]
    for kind, named in (("input", manifest.inputs), ("output", manifest.outputs)):
        found += [
            {
                "@id": _formal(kind, one.name),
                "@type": "FormalParameter",
                "conformsTo": {"@id": _FORMAL},
                "name": one.name,
                "additionalType": "File" if len(one.files) == 1 else "Dataset",
            }
            for one in named
        ]
    return found


def _parameter(one: ParameterValue) -> dict[str, Any]:
    plain = isinstance(one.value, str | int | float | bool)
    return {
        "@id": f"#value-{quote(one.name, safe='')}",
        "@type": "PropertyValue",
        "name": one.name,
        "value": one.value if plain else json.dumps(one.value),
        "exampleOfWork": {"@id": _formal("parameter", one.name)},
    }


def _data(paths: Sequence[str]) -> dict[str, Any]:
    """An artifact: a single file, or the folder of its files."""
    if len(paths) == 1 and paths[0].count("/") == 2:  # kind, name, the file itself
        return {"@id": _id(paths[0])}
    folder = "/".join(paths[0].split("/")[:3]) + "/"
    return {
        "@id": _id(folder),
        "@type": "Dataset",
        "name": folder.rstrip("/").rpartition("/")[2],
        "hasPart": [{"@id": _id(path)} for path in paths],
    }


def _worker(manifest: Manifest) -> dict[str, Any]:
    return {
        "@id": "#worker",
        "@type": "SoftwareApplication",
        "name": "dioptra-worker",
        "softwareVersion": manifest.worker.version,
        "softwareRequirements": {"@id": "requirements.txt"},
    }


def _action(
    manifest: Manifest,
    given: Sequence[Mapping[str, Any]],
    read: Mapping[str, Mapping[str, Any]],
    wrote: Mapping[str, Mapping[str, Any]],
    *,
    graph: str,
) -> dict[str, Any]:
    job = manifest.job
    finished = job.status == "finished"
    status = "CompletedActionStatus" if finished else "FailedActionStatus"
    found: dict[str, Any] = {
        "@id": _RUN,
        "@type": "CreateAction",
        "name": f"Job {job.id}, attempt {job.attempt}",
        "instrument": {"@id": _id(graph)},
        "object": [{"@id": it["@id"]} for it in (*given, *read.values())],
        "result": [{"@id": it["@id"]} for it in wrote.values()],
        "startTime": job.started,
        "endTime": job.ended,
        "actionStatus": {"@id": f"http://schema.org/{status}"},
    }
    if job.user:
        found["agent"] = {"@id": f"#user-{quote(job.user)}"}
    if job.cause:
        found["error"] = job.cause
    return found


def _formal(kind: str, name: str) -> str:
    return f"#{kind}-{quote(name, safe='')}"


def _id(path: str) -> str:
    return quote(path)
