"""What evidence says of a job: two predicates about its manifest and its artifacts.

One is SLSA's, which tools for builds read. The other is ours, for what an evaluation
has more than a build; ``evaluation.schema.json`` beside this module has its shape.

Source: SLSA, Build Provenance v1 (predicate type https://slsa.dev/provenance/v1).
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dioptra_worker.evidence.statements import Statement
from dioptra_worker.provenance.chain import digest
from dioptra_worker.provenance.manifest import FILE_NAME, FOLDER

if TYPE_CHECKING:
    from dioptra_worker.provenance.manifest import Manifest, OutputFacts

SLSA_PROVENANCE = "https://slsa.dev/provenance/v1"
EVALUATION = "urn:dioptra-worker:evaluation:v1"
KINDS = (SLSA_PROVENANCE, EVALUATION)
"""What evidence has one statement each of."""
BUILD_TYPE = "urn:dioptra-worker:job:v1"
ISOLATED = "isolated: the job ran as a user of its own"
SELF_ATTESTED = "self-attested: job and worker share a user"
_BUILDERS = {
    ISOLATED: "urn:dioptra-worker:isolated:v1",
    SELF_ATTESTED: "urn:dioptra-worker:self-attested:v1",
}
MANIFEST = f"{FOLDER}/{FILE_NAME}"
"""The manifest's path in the artifacts of a run."""


def statements_of(manifest: Manifest, data: bytes) -> tuple[Statement, Statement]:
    """The statements about a job that its worker signs.

    Args:
        manifest: The job's manifest.
        data: Its bytes.

    Returns:
        SLSA's provenance and ours, about the manifest and each file of each output
        artifact whose digest is known.
    """
    subjects = subjects_of(manifest, data)
    return (
        Statement(subjects, SLSA_PROVENANCE, _provenance(manifest, data)),
        Statement(subjects, EVALUATION, _evaluation(manifest, data)),
    )


def subjects_of(manifest: Manifest, data: bytes) -> dict[str, str]:
    """What the statements about a job are about: the SHA-256 of each file by its path.

    Args:
        manifest: The job's manifest.
        data: Its bytes.
    """
    found = {MANIFEST: digest(data)}
    for output in manifest.outputs:
        for path, file in zip(_paths(manifest, output), output.files, strict=True):
            if file.sha256:  # whatever a job says, the manifest stays the manifest
                found.setdefault(path, file.sha256)
    return found


def manifest_digest(statement: Statement) -> str | None:
    """The SHA-256 of the manifest that a predicate tells; None if it tells none."""
    predicate: Any = statement.predicate
    try:
        if statement.kind == EVALUATION:
            told = predicate["manifest"]
        else:
            (told,) = predicate["runDetails"]["byproducts"]
        return str(told["digest"]["sha256"])
    except (LookupError, TypeError, ValueError):
        return None


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON Schema of our predicate; do not change what is returned."""
    file = Path(__file__).with_name("evaluation.schema.json")
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


def attestation(manifest: Manifest) -> str:
    """Whether the job could have reached the key that its evidence is signed with."""
    return ISOLATED if manifest.worker.separation else SELF_ATTESTED


def _paths(manifest: Manifest, output: OutputFacts) -> list[str]:
    """Where an output's files are in the artifacts of its run."""
    root = f"{manifest.mlflow.uri.rstrip('/')}/"
    place = output.uri.rstrip("/")
    if not place.startswith(root):
        place = f"{root}{output.name}/{output.file_name}"
    inside = place.removeprefix(root)
    if output.is_dir:
        return [f"{inside}/{file.path}" for file in output.files]
    return [inside]


def _provenance(manifest: Manifest, data: bytes) -> dict[str, Any]:
    job, plan, worker = manifest.job, manifest.plan, manifest.worker
    document: dict[str, Any] = manifest.document()
    plugins = [
        {
            "name": f"plugins/{file.role}/{file.path}",
            "digest": {"sha256": file.sha256},
            "annotations": {"pluginSnapshot": file.snapshot},
        }
        for file in manifest.plugins
    ]
    inputs = [
        {
            "name": f"inputs/{one.name}/{file.path}",
            "uri": one.uri,
            "digest": {"sha256": file.sha256},
            "annotations": {"artifact": one.artifact, "snapshot": one.snapshot},
        }
        for one in manifest.inputs
        for file in one.files
    ]
    packages = [
        {"uri": f"pkg:pypi/{quote(name)}@{quote(version)}"}
        for name, version in sorted(manifest.environment.packages.items())
    ]
    versions = {"dioptra-worker": worker.version}
    if manifest.platform.version:
        versions["dioptra-platform"] = manifest.platform.version
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "experiment": job.experiment,
                "entrypoint": document["job"]["entrypoint"],
                "parameters": {
                    one["name"]: one["value"] for one in document["plan"]["parameters"]
                },
                "swaps": dict(plan.swaps),
                "artifacts": document["plan"]["artifact_parameters"],
                "queue": job.queue,
                "user": job.user,
            },
            "internalParameters": {
                "determinism": document["determinism"],
                "environment": {
                    name: value
                    for name, value in document["environment"].items()
                    if name not in {"packages", "lock"}
                },
            },
            "resolvedDependencies": [*plugins, *inputs, *packages],
        },
        "runDetails": {
            "builder": {
                "id": _BUILDERS[attestation(manifest)],
                "version": versions,
            },
            "metadata": {
                "invocationId": f"job/{job.id}/attempt/{job.attempt}",
                "startedOn": job.started,
                "finishedOn": job.ended,
            },
            "byproducts": [_described(data)],
        },
    }


def _evaluation(manifest: Manifest, data: bytes) -> dict[str, Any]:
    job = manifest.job
    document: dict[str, Any] = manifest.document()
    return {
        "attestation": attestation(manifest),
        "manifest": {**_described(data), "size": len(data)},
        "job": {
            "id": job.id,
            "attempt": job.attempt,
            "status": job.status,
            "cause": job.cause,
        },
        "workerRun": manifest.worker_run.id,
        "mlflowRun": manifest.mlflow.id,
        "worker": document["worker"],
        "metrics": document["metrics"],
        "log": document["log"],
        "determinism": document["determinism"],
        "outputs": {
            one.name: {
                "files": len(one.files),
                "size": sum(file.size for file in one.files),
                "digestsSaidBy": one.said_by,
            }
            for one in manifest.outputs
        },
    }


def _described(data: bytes) -> dict[str, Any]:
    return {
        "name": MANIFEST,
        "digest": {"sha256": digest(data)},
        "mediaType": "application/json",
    }
