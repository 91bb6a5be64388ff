"""What the fork server does beforehand standbys jobs work and leaves no trace."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.process

CODE = """
import json, os, socket, sys, threading
def no_network(*_):
    raise AssertionError("the network was used")
socket.socket.connect = no_network
from dioptra_worker.runner.forkserver import preload
preload.preload(["dioptra_worker.tracking.mlflow.run"])
threads = threading.active_count()
before = set(sys.modules)
from dioptra_worker import engine
from dioptra_worker.tracking.s3 import client as s3
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags
from mlflow.tracking.request_header.registry import resolve_request_headers
looked_for = []
class Looks:
    def find_spec(name, *_):
        looked_for.append(name)
sys.meta_path.insert(0, Looks)
MlflowClient()
resolve_tags()
resolve_request_headers()
s3.client()
engine.compile({
    "tasks": {"f": {"plugin": "p.f", "inputs": [], "outputs": [{"v": "any"}]}},
    "graph": {"a": {"f": []}},
})
new = sorted(set(sys.modules) - before)
missed = [name for name in looked_for if "dbruntime" in name]
seen = {"threads": threads, "new": new, "missed": missed}
print(json.dumps({**seen, "same": s3.client() is s3.client()}))
"""


def _after(environment: dict[str, str]) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={
            "MLFLOW_TRACKING_URI": "http://localhost:9",
            "MLFLOW_S3_ENDPOINT_URL": "http://localhost:9",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "rehearsal:" not in done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "credentials",
    [{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}, {}],
    ids=["in the environment", "elsewhere"],
)
def test_a_job_finds_everything_imported(credentials: dict[str, str]) -> None:
    """After it, no job's first calls import a module; nobody started a thread.

    Nor do they look for Databricks' modules in vain, as MLflow does at each request.
    """
    if (
        not credentials
    ):  # else boto3 asks the machine's cloud, which a fork server may not
        credentials = {"AWS_EC2_METADATA_DISABLED": "true"}
    after = _after(credentials)
    assert after == {"threads": 1, "new": [], "missed": [], "same": True}
