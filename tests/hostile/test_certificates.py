"""Somebody turns the check of certificates off: that is never so without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker import job_environment
from dioptra_worker import settings as settings_module
from dioptra_worker.tools.doctor import all_checks

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent
LEADS_NOWHERE = {
    "DIOPTRA_WORKER_USERNAME": "worker",
    "DIOPTRA_WORKER_PASSWORD": "swordfish",
    "DIOPTRA_API": "http://127.0.0.1:9",
    "RQ_REDIS_URI": "rediss://:swordfish@127.0.0.1:9?ssl_cert_reqs=none",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9",
    "MLFLOW_TRACKING_INSECURE_TLS": "true",
    "MLFLOW_S3_IGNORE_TLS": "1",
}
SWITCHES = (
    "MLFLOW_TRACKING_INSECURE_TLS=true: the certificate of MLflow is not looked at",
    "MLFLOW_S3_IGNORE_TLS=1: the certificate of S3 is not looked at",
    "RQ_REDIS_URI has ssl_cert_reqs=none: the certificate of Redis is not looked at",
)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_worker_says_it_once(concurrency: int, tmp_path: Path) -> None:
    """Each switch is one line of a worker's log, at its start, however many slots."""
    environment = {
        **LEADS_NOWHERE,
        "DIOPTRA_WORKER_WORK_DIR": str(tmp_path),
        "DIOPTRA_WORKER_ISOLATION": "spawn",
        "DIOPTRA_WORKER_WARM": "false",
    }
    program = str(BIN / "dioptra-worker-v1")
    command = [program, "--concurrency", str(concurrency), "q"]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stderr is not None
        lines = []
        waiting = 0
        for line in worker.stderr:  # ended by the time-out of the test, at the latest
            lines.append(line)
            waiting += "waiting: " in line
            if waiting == concurrency:
                break
        worker.terminate()
        lines += worker.stderr
    text = "".join(lines)
    assert [text.count(words) for words in SWITCHES] == [1, 1, 1]
    assert "swordfish" not in text


def test_the_doctor_has_a_line_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor warns of each, and says what to do instead."""
    for name, value in LEADS_NOWHERE.items():
        monkeypatch.setenv(name, value)
    settings = settings_module.load()
    chains = all_checks(settings, (), environment=LEADS_NOWHERE, timeout=1.0)
    checks = [check for chain in chains for check in chain]
    findings = next(list(it.run()) for it in checks if it.name == "certificates")
    assert [finding.status for finding in findings] == ["warn"] * len(SWITCHES)
    for finding, words in zip(findings, SWITCHES, strict=True):
        assert finding.detail.startswith(words)
        assert finding.fix


def test_a_run_without_a_server_says_it(
    run_task: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs an entrypoint with a switch set reads it before the run begins."""
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    ran = run_task("""
        @pyplugs.register
        def act():
            print("it has begun")
    """)
    assert ran.status == "finished"
    warned, begun = ran.text.index(SWITCHES[0]), ran.text.index("it has begun")
    assert warned < begun


def test_an_empty_variable_reaches_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is empty turns nothing off in a job, whichever client it has."""
    empty = {
        "MLFLOW_TRACKING_SERVER_CERT_PATH": "",
        "MLFLOW_TRACKING_INSECURE_TLS": "",
        "AWS_CA_BUNDLE": "",
    }
    for name, value in LEADS_NOWHERE.items():
        monkeypatch.setenv(name, value)
    settings = settings_module.load()
    assert not empty.keys() & job_environment.for_runners(settings, empty).keys()
    assert not empty.keys() & job_environment.for_local_runs(empty).keys()


def test_an_empty_option_of_awss_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty ``ca_bundle`` in the configuration of AWS turns nothing off, either."""
    s3 = pytest.importorskip("dioptra_worker.tracking.s3.client")
    for name in ("MLFLOW_S3_IGNORE_TLS", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "config"
    file.write_text("[default]\nregion = us-east-1\nca_bundle =\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    client = s3._make(access_key="a", secret_key="b")
    assert client._endpoint.http_session._verify is True
