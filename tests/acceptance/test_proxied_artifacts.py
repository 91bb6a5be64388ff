"""Artifacts whose store only the MLflow server can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugins.clients import ApiClient
from tests.plugins.fault_proxy import fault_proxy
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.tools.local import LocalStack

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
    """Files and folders, large ones too, go through the MLflow server, both ways."""
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
    with (
        fault_proxy(environment["MLFLOW_TRACKING_URI"]) as mlflow,
        worker(
            environment,
            tmp_path,
            platform.queue,
            settings={
                "MLFLOW_TRACKING_URI": mlflow.url,
                "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "1",
            },
        ),
    ):
        first = platform.run(producer)
        found = platform.artifacts(first)
        assert found["note"]["artifactUri"].startswith("mlflow-artifacts:")
        assert platform.content(found["note"]) == b"through MLflow"
        inputs = {
            name: {"id": entry["id"], "snapshotId": entry["snapshot"]}
            for name, entry in found.items()
        }
        second = platform.run(consumer, artifacts=inputs)
        assert mlflow.count("PUT", "/mlflow-artifacts/artifacts/") >= 3
        assert mlflow.count("GET", "/mlflow-artifacts/artifacts/") >= 3
        elsewhere = ("/mlflow-artifacts/mpu/", "/mlflow-artifacts/presigned/")
        assert not [call for call in mlflow.calls if any(e in call for e in elsewhere)]
    expected = "read: through MLflow {'a.txt': 'A', 'deep/b.txt': 'B'}"
    assert expected in platform.text(second)
    client.close()
