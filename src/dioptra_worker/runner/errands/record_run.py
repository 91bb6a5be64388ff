"""A process that stores a job's manifest and evidence, and sees what has arrived of it.

It is made by the fork server once the job's own process has ended, since the daemon
imports no library of a store or of MLflow. It says how it went as one line of JSON on a
pipe: ``receipt``, or ``error``.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from dioptra_worker.engine.wording import format_exception
from dioptra_worker.errors import WorkerError
from dioptra_worker.provenance.chain import digest
from dioptra_worker.provenance.manifest import (
    EVIDENCE_FILE_NAME,
    EVIDENCE_TAG,
    FILE_NAME,
    FOLDER,
    MANIFEST_TAG,
    RECEIPT_TAG,
    read_manifest,
    split,
)
from dioptra_worker.provenance.receipt import Receipt, compare
from dioptra_worker.runner.errands.close_run import is_of_deleted_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.protocol.forkserver import StartRecord


def main(manifest: int, reports: int, request: StartRecord) -> NoReturn:
    """Store a manifest, give the run its tags, and end this process.

    Args:
        manifest: A descriptor of the file that has the manifest, and behind it what was
            signed of it.
        reports: The descriptor to report to.
        request: What else there is to know.
    """
    try:
        with open(manifest, "rb", closefd=False) as file:
            lost_lines = None if request.lost_lines < 0 else request.lost_lines
            receipt = store(file.read(), lost_lines=lost_lines, points=request.points)
        body = {"receipt": str(receipt), "complete": receipt.is_complete}
        code = 0
    except BaseException as error:  # noqa: BLE001 - the daemon is to know of any
        known = isinstance(error, WorkerError)
        words = str(error) if known else format_exception(error)
        body, code = {"error": words, "over": is_of_deleted_run(error)}, 1
    os.write(reports, json.dumps(body).encode() + b"\n")
    sys.stderr.flush()
    os._exit(code)


def store(
    data: bytes,
    *,
    lost_lines: int | None = None,
    points: Mapping[str, int] | None = None,
) -> Receipt:
    """Store a manifest in its run's MLflow, and see what has arrived of the run.

    Args:
        data: The manifest, and behind it what was signed of it.
        lost_lines: How many lines of the log the API does not have; None if unknown.
        points: How many points of each metric it has; None if unknown.

    Raises:
        BadManifest: It is none.
        ServiceError: MLflow or the store does not take it, or cannot be asked.
    """
    # Only here: MLflow takes seconds to import where nothing is warm.
    from dioptra_worker.tracking.artifact_store import put_bytes  # noqa: PLC0415
    from dioptra_worker.tracking.mlflow import held  # noqa: PLC0415

    data, evidence = split(data)
    manifest = read_manifest(data)
    run_id = manifest.mlflow.id
    put_bytes(manifest.mlflow.uri, f"{FOLDER}/{FILE_NAME}", data)
    held.tag(run_id, MANIFEST_TAG, digest(data))
    if evidence:
        put_bytes(manifest.mlflow.uri, f"{FOLDER}/{EVIDENCE_FILE_NAME}", evidence)
        held.tag(run_id, EVIDENCE_TAG, digest(evidence))
    there = held.held(manifest, lost_lines=lost_lines, points=points)
    receipt = compare(manifest, there)
    held.tag(run_id, RECEIPT_TAG, str(receipt))
    return receipt
