"""What the stack's services do for a worker and its tests."""

from __future__ import annotations

import os
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests
from tests.plugins.clients import ApiClient, MlflowReader
from tests.plugins.stack import QUEUES

from dioptra_worker.tools.local.config import BUCKET

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.slow

PEER_MODULES = (
    "dioptra.client",
    "dioptra.pyplugs",
    "dioptra.restapi",
    "dioptra.rq.tasks.run_v1_dioptra_job",
    "dioptra.sdk.api.artifact",
    "dioptra.task_engine.task_engine",
    "dioptra.task_engine.validation",
    "dioptra.worker.dioptra_worker_v1",
)
HELLO = """
import structlog
from dioptra import pyplugs

@pyplugs.register
def hello(name: str) -> str:
    structlog.get_logger().info("hello, " + name)
    return name
"""


def test_the_queues_are_registered(api: ApiClient) -> None:
    """Every queue that was asked for exists, owned by the worker's user."""
    for name in QUEUES:
        queue = api.get(f"/queues/{api.queue_id(name)}")
        assert queue["user"]["username"] == "worker"


@pytest.mark.parametrize("path", ["users/", "users", "/users/"])
def test_a_stranger_registers_nobody(
    stack: LocalStack, api: ApiClient, path: str
) -> None:
    """Only who has a user, or the stack's key, can register another one."""
    name = f"u{uuid.uuid4().hex[:8]}"
    account = {
        "username": name,
        "email": f"{name}@example.org",
        "password": "hush-hush",
        "confirmPassword": "hush-hush",
    }
    url = f"{stack.environment()['DIOPTRA_API']}/api/v1/{path}"
    for headers in ({}, {"X-Dioptra-Worker-Registration": "guessed"}):
        answer = requests.post(url, json=account, headers=headers, timeout=30)
        assert answer.status_code in {403, 404}, answer.text
    assert api.get("/users/", search=f"username:{name}")["totalNumResults"] == 0
    api.post("/users/", account)


def test_a_stranger_reaches_no_file_through_mlflow(
    stack: LocalStack, tmp_path: Path
) -> None:
    """MLflow reads and writes its store only, wherever a client has it keep artifacts.

    It asks for no password: any user of the machine could else link a run's folder to
    a private one of the stack's owner, and read and write there.
    """
    url = stack.environment()["MLFLOW_TRACKING_URI"]
    private = tmp_path / "private"
    private.mkdir()
    (private / "secret.txt").write_text("hush-hush")
    for number, root in enumerate((f"file://{tmp_path}", str(tmp_path))):
        body: dict[str, object] = {
            "name": f"x{uuid.uuid4().hex}",
            "artifact_location": root,
        }
        api = f"{url}/api/2.0/mlflow"
        made = requests.post(f"{api}/experiments/create", json=body, timeout=30)
        body = {"experiment_id": made.json()["experiment_id"], "start_time": 1}
        made = requests.post(f"{api}/runs/create", json=body, timeout=30)
        run = made.json()["run"]["info"]["run_id"]
        (tmp_path / run).mkdir()
        (tmp_path / run / "artifacts").symlink_to(private)
        at = {"run_uuid": run, "path": "secret.txt"}
        listed = requests.get(
            f"{api}/artifacts/list", params={"run_id": run}, timeout=30
        )
        read = requests.get(f"{url}/get-artifact", params=at, timeout=30)
        requests.post(
            f"{url}/ajax-api/2.0/mlflow/upload-artifact",
            params={"run_uuid": run, "path": f"written-{number}.txt"},
            data=b"by a stranger",
            headers={"Content-Type": "application/octet-stream"},
            timeout=30,
        )
        assert "secret.txt" not in listed.text
        assert "hush-hush" not in read.text
    assert [path.name for path in private.iterdir()] == ["secret.txt"]


@pytest.mark.parametrize(
    "path",
    [
        "/ajax-api/3.0/mlflow/assistant/config",
        "/ajax-api/3.0/mlflow/gateway/secrets/list",
        "/ajax-api/3.0/jobs",
        "/gateway/any/mlflow/invocations",
        "/api/2.0/mlflow/webhooks",
    ],
)
def test_mlflow_starts_no_program_for_a_stranger(stack: LocalStack, path: str) -> None:
    """What of MLflow starts programs, or asks other hosts, is not served."""
    url = stack.environment()["MLFLOW_TRACKING_URI"]
    for method in ("GET", "POST", "PUT"):
        assert requests.request(method, url + path, timeout=30).status_code == 403


def test_many_clients_write_at_once(stack: LocalStack) -> None:
    """SQLite behind threads and processes makes writers wait, not fail."""
    environment = stack.environment()

    def write(number: int) -> int:
        client = ApiClient(environment)
        for index in range(5):
            body = {"name": f"w{number}-{index}", "description": "", "group": 1}
            client.post("/queues/", body)
        client.close()
        return 5

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 40
    assert "database is locked" not in stack.service("api").log.read_text()


@pytest.mark.parametrize(
    ("kind", "root"),
    [("stack", f"s3://{BUCKET}/"), ("proxied_stack", "mlflow-artifacts:")],
)
def test_the_artifact_root_is_the_kind_asked_for(
    request: pytest.FixtureRequest, kind: str, root: str
) -> None:
    """A run's artifacts go to S3 directly, or through MLflow."""
    stack: LocalStack = request.getfixturevalue(kind)
    reader = MlflowReader(stack.environment())
    made = requests.post(
        f"{reader.root}/runs/create", json={"experiment_id": "0"}, timeout=10
    ).json()["run"]["info"]
    assert made["artifact_uri"].startswith(root)
    assert reader.status(made["run_id"]) == "RUNNING"
    assert reader.artifacts(made["run_id"]) == []
    reader.close()


def test_the_server_shows_artifacts_that_went_to_s3(
    s3: S3Client, mlflow_reader: MlflowReader
) -> None:
    """MLflow reaches the S3 endpoint itself, for its page of artifacts."""
    made = requests.post(
        f"{mlflow_reader.root}/runs/create", json={"experiment_id": "0"}, timeout=10
    ).json()["run"]["info"]
    key = made["artifact_uri"].removeprefix(f"s3://{BUCKET}/") + "/note.txt"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    assert mlflow_reader.artifacts(made["run_id"]) == ["note.txt"]


@pytest.mark.parametrize("module", PEER_MODULES)
def test_the_small_environment_has_all_of_the_peer(
    stack: LocalStack, module: str
) -> None:
    """What was left out of dioptra-platform's dependencies is missed by nothing."""
    answer = subprocess.run(
        [str(stack.peer_python), "-c", f"import {module}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.defpath, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"},
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("kind", ["stack", "proxied_stack"])
def test_the_peers_own_worker_runs_a_job(
    request: pytest.FixtureRequest, kind: str
) -> None:
    """A job that the API queued is finished by the peer's worker, log and run."""
    stack: LocalStack = request.getfixturevalue(kind)
    environment = stack.environment()
    api = ApiClient(environment)
    queue = api.queue_id("other")
    job = submit_hello(api, queue)
    worker = stack.peer_python.with_name("dioptra-worker-v1")
    answer = subprocess.run(
        [str(worker), "--url", environment["RQ_REDIS_URI"], "--burst", "other"],
        env={"PATH": os.defpath, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=stack.directory,
    )
    assert answer.returncode == 0, answer.stderr
    assert api.get(f"/jobs/{job}")["status"] == "finished"
    log = api.get(f"/jobs/{job}/log", pageLength=100)["data"]
    assert any("hello, world" in line["message"] for line in log)
    run = api.get(f"/jobs/{job}/mlflowRun")["mlflowRunId"].replace("-", "")
    reader = MlflowReader(environment)
    assert reader.status(run) == "FINISHED"
    reader.close()
    api.close()


def submit_hello(api: ApiClient, queue: int) -> int:
    """Register a plugin of one task and submit a job of it; return the job's id."""
    types = api.get("/pluginParameterTypes/", pageLength=100)["data"]
    text = next(kind["id"] for kind in types if kind["name"] == "string")
    # A name of its own: other tests of the session have a plugin called hello.
    name = f"hello_{uuid.uuid4().hex[:8]}"
    plugin = api.post("/plugins/", {"group": 1, "name": name, "description": ""})
    function = {
        "name": "hello",
        "inputParams": [{"name": "name", "parameterType": text, "required": True}],
        "outputParams": [{"name": "said", "parameterType": text}],
    }
    file = {
        "filename": "hello.py",
        "contents": HELLO,
        "description": "",
        "tasks": {"functions": [function], "artifacts": []},
    }
    api.post(f"/plugins/{plugin['id']}/files", file)
    parameter = {"name": "name", "defaultValue": "world", "parameterType": "string"}
    entrypoint = api.post(
        "/entrypoints/",
        {
            "group": 1,
            "name": name,
            "description": "",
            "taskGraph": "step:\n  task: hello\n  args: [$name]\n",
            "artifactGraph": "",
            "parameters": [parameter],
            "queues": [queue],
            "plugins": [plugin["id"]],
            "artifactParameters": [],
            "artifactPlugins": [],
        },
    )
    experiment = api.post(
        "/experiments/",
        {
            "group": 1,
            "name": name,
            "description": "",
            "entrypoints": [entrypoint["id"]],
        },
    )
    job = {
        "queue": queue,
        "entrypoint": entrypoint["id"],
        "values": {},
        "description": "",
        "timeout": "1h",
    }
    return int(api.post(f"/experiments/{experiment['id']}/jobs", job)["id"])
