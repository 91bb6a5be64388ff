"""Artifacts whose store only the MLflow server can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugins.clients import ApiClient
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.local import LocalStack

SOURCE = """
@pyplugs.register
def text():
    return "through MLflow"


@pyplugs.register
def folder():
    return {"a.txt": "A", "deep/b.txt": "B"}


@pyplugs.register
def read(text, files):
    print("read:", text, files)
"""


def test_proxied_artifacts(proxied_stack: LocalStack, tmp_path: Path) -> None:
    """Files and folders go through the MLflow server and come back the same."""
    environment = proxied_stack.environment()
    client = ApiClient(environment)
    platform = Platform(client)
    outputs = {
        "note": {"contents": "$text", "task": {"name": "Text"}},
        "tree": {"contents": "$tree", "task": {"name": "Folder"}},
    }
    producer = platform.entrypoint(
        SOURCE,
        {"text": {"text": []}, "tree": {"folder": []}},
        artifact_outputs=outputs,
    )
    consumer = platform.entrypoint(
        SOURCE,
        {"reading": {"read": ["$note", "$tree"]}},
        artifact_inputs={"note": ["text"], "tree": ["files"]},
    )
    with worker(environment, tmp_path, platform.queue):
        first = platform.run(producer)
        found = platform.artifacts(first)
        assert found["note"]["artifactUri"].startswith("mlflow-artifacts:")
        assert platform.content(found["note"]) == b"through MLflow"
        inputs = {
            name: {"id": entry["id"], "snapshotId": entry["snapshot"]}
            for name, entry in found.items()
        }
        second = platform.run(consumer, artifacts=inputs)
    expected = "read: through MLflow {'a.txt': 'A', 'deep/b.txt': 'B'}"
    assert expected in platform.text(second)
    client.close()
