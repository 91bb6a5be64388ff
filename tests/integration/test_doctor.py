"""The doctor finds a healthy stack healthy, and each broken service by name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import redis
import requests
from tests.plugins.plain_install import plain_install

from dioptra_worker.tools.doctor.checks import broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from dioptra_worker.tools.local import LocalStack

CLOSED = "127.0.0.1:9"


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor said.

    Attributes:
        code: Its exit code.
        text: What it printed, standard error included.
        checks: The results by name, of a run with ``--json``.
        seconds: How long it took.
    """

    code: int
    text: str
    checks: dict[str, dict[str, Any]]
    seconds: float

    def bad(self) -> set[str]:
        """The names of what failed."""
        return {n for n, check in self.checks.items() if check["status"] == "fail"}

    def words(self, name: str) -> str:
        """A result's detail and fix."""
        return "{detail} -> {fix}".format(**self.checks[name])


class Patient:
    """A worker's environment, and the doctor called in it."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DIOPTRA_WORKER_WORK_DIR": str(folder / "jobs"),
            **environment,
        }

    def __call__(self, *arguments: str, **changes: str) -> Diagnosis:
        """Run ``dioptra-worker doctor --json``."""
        return self.run("--json", *arguments, **changes)

    def run(self, *arguments: str, **changes: str) -> Diagnosis:
        """Run ``dioptra-worker doctor``."""
        started = time.monotonic()
        answer = subprocess.run(
            [plain_install() / "dioptra-worker", "doctor", *arguments],
            env={**self.environment, **changes},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        checks = {}
        if "--json" in arguments and answer.stdout:
            body = json.loads(answer.stdout)
            assert body["ok"] is (answer.returncode == 0)
            checks = {check["name"]: check for check in body["checks"]}
        text = answer.stdout + answer.stderr
        seconds = time.monotonic() - started
        diagnosis = Diagnosis(answer.returncode, text, checks, seconds)
        secrets = (
            *("DIOPTRA_WORKER_PASSWORD", "AWS_SECRET_ACCESS_KEY"),
            *(name for name in changes if "PASSWORD" in name),
        )
        for name in secrets:
            assert {**self.environment, **changes}[name] not in text, name
        redis_password = urlsplit(self.environment["RQ_REDIS_URI"]).password
        assert redis_password
        assert redis_password not in text
        return diagnosis


@pytest.fixture(name="doctor")
def _doctor(stack: LocalStack, tmp_path: Path) -> Patient:
    return Patient(stack.environment(), tmp_path)


@contextmanager
def hung() -> Iterator[str]:
    """An address that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        yield f"{host}:{port}"


def test_healthy_stack(doctor: Patient) -> None:
    """On a healthy stack every check is ok and the exit code is 0."""
    found = doctor("--deep", "local", "other")
    # Where tests run as root, others may be unable to read what jobs need.
    users = found.checks.pop("jobs' users")
    assert users["status"] in {"ok", "warn"}
    assert {check["status"] for check in found.checks.values()} == {"ok"}, found.text
    assert found.code == 0
    assert set(found.checks) == {
        *("settings", "Python", "packages", "platform", "GPU"),
        *(
            "work folder",
            "disk space",
            "certificates",
            "Redis",
            "Redis persistence",
            "Redis queue",
        ),
        *("Redis workers", "Dioptra API", "queues", "clock", "MLflow"),
        *("certificates", "artifact store", "imports", "runner"),
    }
    assert "dioptra-platform" in found.words("Dioptra API")


def test_it_leaves_nothing(
    doctor: Patient, stack: LocalStack, s3: S3Client, redis_client: redis.Redis
) -> None:
    """Afterwards there is no key in Redis, no object in S3 and no run in MLflow."""
    assert doctor().code == 0
    assert list(redis_client.scan_iter("dioptra-worker:{doctor*")) == []
    for bucket in s3.list_buckets()["Buckets"]:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
            keys = [entry["Key"] for entry in page.get("Contents", [])]
            assert not [key for key in keys if "doctor" in key]
    runs = requests.post(
        stack.environment()["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/search",
        json={
            "experiment_ids": ["0"],
            "filter": "tags.`dioptra.doctor` != ''",
            "run_view_type": "ACTIVE_ONLY",
        },
        timeout=30,
    ).json()
    assert runs.get("runs", []) == []


def test_proxied_artifacts(proxied_stack: LocalStack, tmp_path: Path) -> None:
    """Where artifacts pass through MLflow, the round trip does, too."""
    found = Patient(proxied_stack.environment(), tmp_path)("local")
    assert found.code == 0, found.text
    assert "MLflow's proxy" in found.words("artifact store")


def test_system_metrics_without_psutil(doctor: Patient) -> None:
    """A package that MLflow would miss is a warning; MLflow is tried all the same."""
    found = doctor(MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING="true")
    assert found.bad() == set(), found.text
    assert "psutil is missing" in found.words("system metrics")
    assert "dioptra-worker[system-metrics]" in found.words("system metrics")
    wrong = doctor(MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING="perhaps")
    assert wrong.bad() == {"MLflow"}
    assert "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING" in wrong.words("MLflow")


def test_a_proxy_that_leads_nowhere(doctor: Patient) -> None:
    """A proxy in the way is named for every service, and what leads past it."""
    found = doctor(HTTP_PROXY=f"http://{CLOSED}", NO_PROXY="", no_proxy="")
    for name in ("Dioptra API", "MLflow", "artifact store"):
        assert f"through the proxy http://{CLOSED} (HTTP_PROXY)" in found.words(name)
        assert "-> check that NO_PROXY names '127.0.0.1'" in found.words(name)


def test_text_for_people(doctor: Patient) -> None:
    """For people each check is a line, and what to do is the next one."""
    found = doctor.run("locale")
    assert found.code == 1
    lines = found.text.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("✗ queues"))
    assert "no queue 'locale'" in lines[place]
    assert lines[place + 1].strip().startswith("→ register it, or correct the name")
    assert "did you mean 'local'" in lines[place + 1]
    assert any(line.startswith("✓ Redis queue") for line in lines)
    assert lines[-1].endswith("1 to mend")


def test_unusable_settings(doctor: Patient) -> None:
    """Every unusable setting is told, and what needs them is not tried."""
    found = doctor.run(DIOPTRA_API="nowhere", MLFLOW_TRACKING_URI="")
    assert found.code == 1
    assert "✗ settings" in found.text
    assert "DIOPTRA_API: 'nowhere' cannot be used" in found.text
    assert "MLFLOW_TRACKING_URI: not set" in found.text
    assert "not tried: the settings are not usable" in found.text
    assert "Traceback" not in found.text


@pytest.mark.parametrize(
    "arguments", [("--timeout", "0"), ("--timeout", "soon"), ("--what",)]
)
def test_unusable_command_line(doctor: Patient, arguments: tuple[str, ...]) -> None:
    """A command line that makes no sense has exit code 2."""
    assert doctor.run(*arguments).code == 2


@pytest.mark.parametrize(
    ("variable", "name", "fix"),
    [
        ("DIOPTRA_API", "Dioptra API", "DIOPTRA_API"),
        ("RQ_REDIS_URI", "Redis", "RQ_REDIS_URI"),
        ("MLFLOW_TRACKING_URI", "MLflow", "MLFLOW_TRACKING_URI"),
        ("MLFLOW_S3_ENDPOINT_URL", "artifact store", "MLFLOW_S3_ENDPOINT_URL"),
    ],
)
@pytest.mark.parametrize(
    "how", ["closed", pytest.param("hung", marks=pytest.mark.slow)]
)
def test_absent_service(
    doctor: Patient, how: str, variable: str, name: str, fix: str
) -> None:
    """A service that refuses or never answers fails its check only, in time."""
    scheme = "redis" if "REDIS" in variable else "http"
    with hung() as silent:
        address = CLOSED if how == "closed" else silent
        # On a busy machine, those that are there need more than a moment to answer.
        seconds = "20" if how == "closed" else "12"
        found = doctor("--timeout", seconds, **{variable: f"{scheme}://{address}"})
    assert found.code == 1
    assert found.bad() == {name}, found.text
    assert fix in found.checks[name]["fix"]
    assert found.seconds < 60
    assert "Traceback" not in found.text


def test_wrong_password(doctor: Patient) -> None:
    """A refused login is told as such, with the variables to correct."""
    found = doctor(DIOPTRA_WORKER_PASSWORD="not-the-one")
    assert found.bad() == {"Dioptra API"}
    assert "refused to log in user 'worker'" in found.words("Dioptra API")
    assert "DIOPTRA_WORKER_PASSWORD" in found.checks["Dioptra API"]["fix"]


def test_not_a_dioptra(doctor: Patient) -> None:
    """An address at which something else answers is told as that."""
    found = doctor(DIOPTRA_API=doctor.environment["MLFLOW_TRACKING_URI"])
    assert found.bad() == {"Dioptra API"}
    assert "DIOPTRA_API is the address" in found.words("Dioptra API")


@pytest.mark.parametrize("user", ["", ":wrong-word@"])
def test_wrong_redis_password(doctor: Patient, user: str) -> None:
    """A missing or wrong password of Redis is told as that, without showing it."""
    place = doctor.environment["RQ_REDIS_URI"].rpartition("@")[2]
    found = doctor(RQ_REDIS_URI=f"redis://{user}{place}")
    assert found.bad() == {"Redis"}
    assert "password" in found.checks["Redis"]["fix"]
    assert "wrong-word" not in found.text


def test_missing_bucket(doctor: Patient, stack: LocalStack) -> None:
    """A bucket that is not there is named, with where it is to be made or corrected."""
    requests.post(
        stack.environment()["MLFLOW_TRACKING_URI"]
        + "/api/2.0/mlflow/experiments/create",
        json={"name": "bucketless", "artifact_location": "s3://no-such-bucket/x"},
        timeout=30,
    )
    found = doctor(MLFLOW_EXPERIMENT_NAME="bucketless")
    assert found.bad() == {"artifact store"}
    assert "s3://no-such-bucket" in found.words("artifact store")
    assert "create the bucket" in found.checks["artifact store"]["fix"]


def test_mlflow_host_check(doctor: Patient) -> None:
    """MLflow's refusal of a host that it was not told of is explained."""
    found = doctor(
        MLFLOW_TRACKING_URI="http://mlflow.example",
        http_proxy=doctor.environment["MLFLOW_TRACKING_URI"],
        no_proxy="127.0.0.1",
    )
    assert found.bad() == {"MLflow"}
    assert "MLFLOW_SERVER_ALLOWED_HOSTS=mlflow.example" in found.words("MLflow")
    assert "S3 answers" in found.words("artifact store")


def test_suspended_workers(doctor: Patient) -> None:
    """`rq suspend` is warned of, which makes nothing fail."""
    url = doctor.environment["RQ_REDIS_URI"].removesuffix("/0") + "/7"  # nobody else's
    with redis.Redis.from_url(url) as client:
        client.set(broker.SUSPENDED, 1, ex=60)
        found = doctor(RQ_REDIS_URI=url)
    assert found.code == 0
    assert found.checks["Redis workers"]["status"] == "warn"
    assert found.checks["Redis workers"]["fix"] == "run: rq resume"


def test_forgetful_redis(redis_client: redis.Redis) -> None:
    """A Redis that keeps nothing over a restart is warned of."""
    facts = {"aof_enabled": 0, "redis_version": "7.2.4"}
    finding = broker.persistence(redis_client, facts)  # its "save" is empty
    assert finding.status == "warn"
    assert "--appendonly yes" in finding.fix
    before = redis_client.config_get("save")["save"] or ""
    redis_client.config_set("save", "3600 1")
    try:
        assert broker.persistence(redis_client, facts).status == "ok"
    finally:
        redis_client.config_set("save", before)


def test_read_only_redis(doctor: Patient, redis_client: redis.Redis) -> None:
    """A user of Redis who may not write fails with the rights as the way out."""
    redis_client.acl_setuser(
        "looker",
        enabled=True,
        passwords=["+look-only"],
        keys=["*"],
        categories=["+@read"],
        commands=["+info", "+config|get", "+ping", "+client"],
    )
    place = doctor.environment["RQ_REDIS_URI"].rpartition("@")[2]
    try:
        found = doctor(RQ_REDIS_URI=f"redis://looker:look-only@{place}")
    finally:
        redis_client.acl_deluser("looker")
    assert found.bad() == {"Redis"}
    assert "ACL" in found.checks["Redis"]["fix"]


def test_every_check_hangs(doctor: Patient) -> None:
    """With every service hung, the doctor is done in little more than two timeouts."""
    with hung() as address:
        found = doctor(
            "--timeout",
            "2",
            DIOPTRA_API=f"http://{address}",
            RQ_REDIS_URI=f"redis://{address}",
            MLFLOW_TRACKING_URI=f"http://{address}",
            MLFLOW_S3_ENDPOINT_URL=f"http://{address}",
        )
    assert found.bad() == {"Dioptra API", "Redis", "MLflow", "artifact store"}
    assert "no answer within 2 s" in found.words("Redis")
    assert found.seconds < 20
