"""Addresses that lead nowhere, or to something else: one sentence names the setting."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from tests.plugins.certificates import self_signed, server_side
from tests.plugins.outcomes import FAILED, FINISHED
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.tcp_proxy import tcp_proxy
from tests.plugins.testbed import Platform, platform_of_a_test
from tests.plugins.worker_process import times, worker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

SERVICES = {
    "DIOPTRA_API": ("api", "14b"),
    "RQ_REDIS_URI": ("valkey", "14c"),
    "MLFLOW_TRACKING_URI": ("mlflow", "11a"),
}
ADDRESSES = {
    "an unknown host": "does not know its host name",
    "a closed port": "connection refused",
    "TLS where none is spoken": "does not speak TLS",
    "a certificate that is not trusted": "its certificate is not trusted here",
}


EVERY_DAY = {"a closed port", "a certificate that is not trusted"}
"""Those that each service is tried with; with the others one is, on most days."""


def _seldom(address: str) -> Collection[pytest.MarkDecorator]:
    return () if address in EVERY_DAY else (pytest.mark.slow,)


platform = platform_of_a_test


@pytest.fixture(name="tls_ports")
def _tls_ports(stack: LocalStack, tmp_path: Path) -> Iterator[dict[str, int]]:
    """For each service a port where it shows a certificate that nobody trusts."""
    speaks = server_side(self_signed(tmp_path))
    ports = {name: stack.service(name).port for name, _ in SERVICES.values()}
    ports["s3"] = stack.service("s3").port
    with (
        tcp_proxy(ports["api"], speaks) as api,
        tcp_proxy(ports["valkey"], speaks) as valkey,
        tcp_proxy(ports["mlflow"], speaks) as mlflow,
        tcp_proxy(ports["s3"], speaks) as s3,
    ):
        yield {
            "api": api.port,
            "valkey": valkey.port,
            "mlflow": mlflow.port,
            "s3": s3.port,
        }


def _wrong(url: str, address: str, tls_port: int) -> str:
    secure = url.replace("http:", "https:").replace("redis:", "rediss:")
    match address:
        case "an unknown host":
            return url.replace("127.0.0.1", "no-such-host.invalid")
        case "a closed port":
            return re.sub(r":\d+(?=/|$)", ":9", url)
        case "TLS where none is spoken":
            return secure
        case _:
            return re.sub(r":\d+(?=/|$)", f":{tls_port}", secure)


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        *(pytest.param("DIOPTRA_API", address) for address in ADDRESSES),
        *(
            pytest.param("RQ_REDIS_URI", address, marks=_seldom(address))
            for address in ADDRESSES
        ),
    ],
)
def test_daemon_waits(
    setting: str,
    address: str,
    stack: LocalStack,
    platform: Platform,
    tls_ports: dict[str, int],
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """The daemon says once what is wrong with which setting, and waits."""
    service, row = SERVICES[setting]
    environment = stack.environment()
    url = _wrong(environment[setting], address, tls_ports[service])
    with worker(
        {**environment, setting: url},
        tmp_path,
        platform.queue,
        ready=False,
        settings=times(redis_timeout=2.0),
    ) as running:
        running.wait_for("waiting: ", seconds=60)
        time.sleep(1)
        waits = [line for line in running.log.splitlines() if "waiting: " in line]
        assert running.process.poll() is None
        running.send()
        assert running.wait(60) == 0
    assert len(waits) == 1, waits
    assert setting in waits[0]
    assert ADDRESSES[address] in waits[0]
    assert "Traceback" not in running.log
    assert environment["DIOPTRA_WORKER_PASSWORD"] not in running.log
    fault_report.worker(
        row,
        f"{setting} names {address}",
        "the worker waits, and takes no job",
        says=waits[0].partition("waiting: ")[2],
    )


@pytest.mark.parametrize(
    "address",
    [pytest.param(address, marks=_seldom(address)) for address in ADDRESSES],
)
def test_job_waits_for_mlflow(
    address: str,
    stack: LocalStack,
    platform: Platform,
    tls_ports: dict[str, int],
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job whose MLflow cannot be had says why, and fails in bounded time."""
    setting = "MLFLOW_TRACKING_URI"
    environment = stack.environment()
    url = _wrong(environment[setting], address, tls_ports["mlflow"])
    with worker(
        {**environment, setting: url},
        tmp_path,
        platform.queue,
        settings={"DIOPTRA_WORKER_SETUP_DEADLINE": "4"},
    ) as running:
        stepwise = StepwiseJob(platform, tmp_path / "marks")
        outcome = witness.outcome(stepwise.job, says="waiting for MLflow: ")
        assert running.process.poll() is None
    assert outcome.statuses == ("failed", "failed", "none")
    assert setting in outcome.line
    assert ADDRESSES[address] in outcome.line
    assert stepwise.runs == []
    fault = f"{setting} names {address}, set-up may take 4 s"
    fault_report.job("11a", fault, outcome)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(address, marks=() if number == 0 else pytest.mark.slow)
        for number, address in enumerate(ADDRESSES)
    ],
)
def test_job_waits_for_the_store(
    address: str,
    stack: LocalStack,
    platform: Platform,
    tls_ports: dict[str, int],
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job whose artifact cannot be stored says why, and its time limit holds."""
    setting = "MLFLOW_S3_ENDPOINT_URL"
    environment = stack.environment()
    url = _wrong(environment[setting], address, tls_ports["s3"])
    with worker({**environment, setting: url}, tmp_path, platform.queue) as running:
        stepwise = StepwiseJob(platform, tmp_path / "marks", timeout="15s")
        stepwise.go_on()
        says = "waiting for the artifact store: "
        outcome = witness.outcome(stepwise.job, says=says)
        assert running.process.poll() is None
    assert outcome.statuses == FAILED
    assert setting in outcome.line
    assert ADDRESSES[address] in outcome.line
    text = platform.text(stepwise.job)
    assert text.count(says) in {1, 2}  # the task graph is stored, too
    assert "timed out after its limit of 15 s" in text
    assert "Traceback" not in text
    fault = f"{setting} names {address}, the job may take 15 s"
    fault_report.job("12", fault, outcome)


def test_service_that_learns_to_speak(
    stack: LocalStack,
    platform: Platform,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A daemon that was started before its API could be reached serves as any other."""
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    stepwise.go_on()
    environment = stack.environment()
    with tcp_proxy(stack.service("api").port) as proxy:
        proxy.refuse()
        url = f"http://127.0.0.1:{proxy.port}"
        with worker(
            {**environment, "DIOPTRA_API": url}, tmp_path, platform.queue, ready=False
        ) as running:
            running.wait_for("nothing listens there")
            proxy.pass_on()
            outcome = witness.outcome(
                stepwise.job, says="line 0", since=time.time(), after="the API was back"
            )
            assert running.process.poll() is None
    assert outcome.statuses == FINISHED
    fault_report.job("14b", "the API is away when the worker starts", outcome)
