"""Redis is away from the worker, or answers oddly: between, during, after jobs.

Between the worker and the shared Redis is a proxy, so that only the worker suffers;
what happens to Redis itself is in `test_outages`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from rq.command import send_stop_job_command
from tests.plugins.outcomes import FINISHED
from tests.plugins.stepwise import RESULTS_WAIT, StepwiseJob
from tests.plugins.tcp_proxy import TcpProxy, tcp_proxy
from tests.plugins.until import until
from tests.plugins.worker_process import WorkerProcess, times, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis
    from tests.plugins.clients import MlflowReader
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

FAULTS: dict[str, Callable[[TcpProxy], None]] = {
    "refuses connections": TcpProxy.refuse,
    "hangs": TcpProxy.hang,
    "answers LOADING": lambda proxy: proxy.fail(
        "LOADING Redis is loading the dataset in memory"
    ),
    "answers READONLY": lambda proxy: proxy.fail(
        "READONLY You can't write against a read only replica."
    ),
}


@pytest.fixture(scope="module", name="way")
def _way(stack: LocalStack) -> Iterator[TcpProxy]:
    with tcp_proxy(stack.service("valkey").port) as proxy:
        yield proxy


@pytest.fixture(name="proxy")
def _proxy(way: TcpProxy) -> Iterator[TcpProxy]:
    """The worker's way to Redis, which is open again after each test."""
    yield way
    way.pass_on()


@pytest.fixture(scope="module", name="daemon")
def _daemon(
    stack: LocalStack,
    platform: Platform,
    way: TcpProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    environment = stack.environment()
    port = str(stack.service("valkey").port)
    url = environment["RQ_REDIS_URI"].replace(f":{port}", f":{way.port}")
    folder = tmp_path_factory.mktemp("worker")
    with worker(
        {**environment, "RQ_REDIS_URI": url},
        folder,
        platform.queue,
        settings=times(heartbeat_interval=1.0, redis_timeout=2.0),
    ) as daemon:
        yield daemon


@pytest.mark.parametrize("fault", list(FAULTS))
def test_idle(
    fault: str,
    platform: Platform,
    proxy: TcpProxy,
    daemon: WorkerProcess,
    mlflow_reader: MlflowReader,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """An idle worker that loses Redis takes the job that came meanwhile."""
    FAULTS[fault](proxy)
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    stepwise.go_on()
    time.sleep(2)
    assert stepwise.runs == []
    back = time.time()
    proxy.pass_on()
    outcome = witness.outcome(
        stepwise.job, says="line 0", since=back, after="Redis was back"
    )
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow_reader)
    assert daemon.process.poll() is None
    fault_report.job("10a", f"Redis {fault} while the worker is idle", outcome)


@pytest.mark.parametrize("fault", list(FAULTS))
def test_at_the_end(
    fault: str,
    platform: Platform,
    proxy: TcpProxy,
    daemon: WorkerProcess,
    mlflow_reader: MlflowReader,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A job with artifacts shows them, and its end, when Redis is back."""
    stepwise = StepwiseJob(platform, tmp_path / "marks", 2)
    stepwise.wait_at(0)
    FAULTS[fault](proxy)
    stepwise.go_on()
    platform.wait_for_line(stepwise.job, RESULTS_WAIT, seconds=60)
    assert platform.status(stepwise.job) == "started"
    back = time.time()
    proxy.pass_on()
    outcome = witness.outcome(
        stepwise.job, says="line 1", since=back, after="Redis was back"
    )
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow_reader)
    daemon.wait_for(f"job {stepwise.job} finished", seconds=60)
    assert daemon.process.poll() is None
    fault_report.job("10d", f"Redis {fault} when a job ends", outcome)


def test_longer_than_a_heartbeat(
    platform: Platform,
    proxy: TcpProxy,
    daemon: WorkerProcess,
    mlflow_reader: MlflowReader,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """Redis may be away when a heartbeat is due; neither worker nor job ends for it."""
    stepwise = StepwiseJob(platform, tmp_path / "marks", 2)
    stepwise.wait_at(0)
    proxy.refuse()
    before = daemon.log.count("no heartbeat: ")
    until(lambda: daemon.log.count("no heartbeat: ") > before)
    proxy.pass_on()
    back = time.time()
    stepwise.go_on()
    outcome = witness.outcome(
        stepwise.job, says="line 1", since=back, after="Redis was back"
    )
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow_reader)
    assert daemon.process.poll() is None
    fault_report.job("10c", "Redis away during a job and a heartbeat", outcome)


def test_connections_dropped(
    platform: Platform,
    proxy: TcpProxy,
    daemon: WorkerProcess,
    mlflow_reader: MlflowReader,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """Connections that break during a job, and between two, are made anew."""
    stepwise = StepwiseJob(platform, tmp_path / "marks", 2)
    stepwise.wait_at(0)
    proxy.drop()
    stepwise.go_on()
    outcome = witness.outcome(stepwise.job, says="line 1")
    assert outcome.statuses == FINISHED
    stepwise.check(mlflow_reader)
    proxy.drop()
    after = StepwiseJob(platform, tmp_path / "after")
    after.go_on()
    assert platform.wait(after.job) == "finished"
    assert daemon.process.poll() is None
    fault_report.job("10b", "connections to Redis are dropped during a job", outcome)


def test_commands_afterwards(
    redis_client: redis.Redis,
    platform: Platform,
    proxy: TcpProxy,
    daemon: WorkerProcess,
    tmp_path: Path,
) -> None:
    """After an outage the worker hears RQ's commands again."""
    proxy.drop()
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    stepwise.wait_at(0)

    def stopped() -> bool:
        send_stop_job_command(redis_client, str(stepwise.job))
        return platform.status(stepwise.job) != "started"

    until(stopped, says=lambda: daemon.log)
    assert platform.status(stepwise.job) == "failed"
    assert "by request" in platform.log(stepwise.job)[-1].text


def test_said_once(daemon: WorkerProcess) -> None:
    """Each wait is told once, not at every try, and without a traceback."""
    words = ("waiting: ", RESULTS_WAIT)
    waits = [it for it in daemon.log.splitlines() if any(word in it for word in words)]
    assert 1 <= len(waits) <= 2 * len(FAULTS) + 4, waits
    assert "Traceback" not in daemon.log
