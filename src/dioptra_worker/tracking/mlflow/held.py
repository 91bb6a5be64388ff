"""What MLflow and the artifact store hold of a run: what has arrived of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from dioptra_worker.provenance.receipt import Held, HeldFile
from dioptra_worker.provenance.run_tags import WORKER_RUN_ID
from dioptra_worker.tracking.mlflow.run import translate_errors
from dioptra_worker.tracking.parallel import parallel_map
from dioptra_worker.tracking.s3.held import held_objects
from dioptra_worker.tracking.store_address import refuse_unknown_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dioptra_worker.provenance.manifest import Manifest, OutputFacts

MAX_SERIES = 1000
"""Metrics of which MLflow is asked for all points, which is a request for each."""
MAX_PARALLEL_REQUESTS = 8
MAX_READ_BYTES = 32 << 20
"""Bytes of an artifact that are fetched, once its job is over, of a store without
checksums."""


def held(
    manifest: Manifest,
    *,
    lost_lines: int | None,
    points: Mapping[str, int] | None,
    may_read: int = MAX_READ_BYTES,
) -> Held:
    """What is there of a job.

    Args:
        manifest: What was sent.
        lost_lines: How many lines of the log the API does not have; None if unknown.
        points: How many points of each metric it has; None if unknown.
        may_read: Bytes of each artifact that may be fetched where S3 has no checksum.

    Raises:
        ServiceError: MLflow or the store cannot be asked.
    """
    run_id = manifest.mlflow.id
    with translate_errors("show the run"):
        data = MlflowClient().get_run(run_id).data
    return Held(
        lost_lines=lost_lines,
        points=points,
        direct=_points(
            run_id,
            [name for name, it in manifest.metrics.names.items() if it.direct],
            there=data.metrics,
        ),
        parameters=data.params,
        worker_run=data.tags.get(WORKER_RUN_ID, ""),
        files={
            output.name: _files(output, may_read=may_read)
            for output in manifest.outputs
        },
    )


def _points(
    run_id: str, names: Iterable[str], *, there: Mapping[str, float]
) -> dict[str, int]:
    """How many points MLflow has of each metric; of many not all are counted."""
    client = MlflowClient()
    asked = [name for name in sorted(names) if name in there][:MAX_SERIES]

    def count(name: str) -> None:
        found[name] = len(client.get_metric_history(run_id, name))

    found: dict[str, int] = {}
    with translate_errors("show the run's metrics"):
        parallel_map(count, asked, max_workers=MAX_PARALLEL_REQUESTS)
    uncounted = set(there) - set(found)
    return found | dict.fromkeys(uncounted, 1 << 62)


def _files(output: OutputFacts, *, may_read: int) -> dict[str, HeldFile]:
    """What the store has of an output artifact, by path."""
    if urlsplit(output.uri).scheme == "s3":
        return held_objects(output.uri, output.files, may_read=may_read)
    return _listed(output.uri, [file.path for file in output.files])


def _listed(uri: str, paths: list[str]) -> dict[str, HeldFile]:
    """Sizes of files of a store that only MLflow's client knows how to reach."""
    refuse_unknown_store(uri)
    root, _, name = uri.rstrip("/").rpartition("/")
    found: dict[str, HeldFile] = {}
    with translate_errors("list the run's artifacts"):
        repository = get_artifact_repository(root)
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            for entry in repository.list_artifacts(folder or None):
                inside = entry.path
                if inside != name and not inside.startswith(f"{name}/"):
                    continue
                if entry.is_dir:
                    waiting.append(inside)
                elif entry.file_size is not None:
                    short = inside.removeprefix(f"{name}/")
                    found[short] = HeldFile(size=int(entry.file_size))
    return {path: found[path] for path in paths if path in found}


def tag(run_id: str, name: str, value: str) -> None:
    """Give a run a tag.

    Raises:
        ServiceError: MLflow does not want to, or cannot be reached.
    """
    with translate_errors("take a tag"):
        MlflowClient().set_tag(run_id, name, value)
