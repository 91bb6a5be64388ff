"""A real daemon's heartbeat, probes and metrics, while all goes well and when not."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from tests.plugins.testbed import Platform, own_platform
from tests.plugins.until import until
from tests.plugins.user_locks import assert_locks_only
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.local import LocalStack

SOURCE = """
@pyplugs.register
def work(path):
    print("working now")
    deadline = time.time() + 60
    while not os.path.exists(path) and time.time() < deadline:
        time.sleep(0.02)
    if path.endswith("bad"):
        raise ValueError("on purpose")
"""
EXECUTABLE = Path(sys.executable).with_name("dioptra-worker")


class Probed:
    """A daemon with a health port, and what probes find."""

    def __init__(self, running: WorkerProcess, port: int) -> None:
        self.running = running
        self.url = f"http://127.0.0.1:{port}"
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str) -> tuple[int, str]:
        """The status and the text of a page."""
        answer = self.session.get(self.url + path, timeout=5)
        return answer.status_code, answer.text

    def metric(self, sample: str) -> float:
        """The value of one sample."""
        text = self.get("/metrics")[1]
        found = re.search(rf"^dioptra_worker_{re.escape(sample)} (.+)$", text, re.M)
        assert found, f"{sample} is not in:\n{text}"
        return float(found[1])

    def health(self, *arguments: str) -> tuple[int, str]:
        """What ``dioptra-worker health`` says, as a container would call it."""
        answer = subprocess.run(
            [str(EXECUTABLE), "health", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "DIOPTRA_WORKER_WORK_DIR": str(self.running.work_dir),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return answer.returncode, answer.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


platform = own_platform


@pytest.fixture(name="probed")
def _probed(own: LocalStack, platform: Platform, tmp_path: Path) -> Iterator[Probed]:
    port = _free_port()
    settings = {
        "DIOPTRA_WORKER_HEALTH_PORT": str(port),
        "DIOPTRA_WORKER_STATUS_POLL": "1",
    }
    with worker(
        own.environment(), tmp_path, platform.queue, settings=settings
    ) as running:
        probed = Probed(running, port)
        yield probed
        probed.session.close()


def test_idle_then_busy_then_counted(
    probed: Probed, platform: Platform, tmp_path: Path
) -> None:
    """A job shows while it runs, and afterwards in the counts by result."""
    assert probed.get("/livez") == (200, "ok\n")
    assert probed.get("/readyz") == (200, "ok\n")
    assert probed.health()[0] == 0
    assert probed.metric('state{state="idle"}') == 1
    good, bad = tmp_path / "good", tmp_path / "bad"
    importing = f"import rq\n{SOURCE}"
    first = platform.submit(
        platform.entrypoint(importing, {"a": {"work": [str(good)]}})
    )
    platform.wait_for_line(first, "working now")
    assert probed.metric('state{state="busy"}') == 1
    until(lambda: probed.health()[1].startswith(f"busy with job {first}"))
    second = platform.submit(platform.entrypoint(SOURCE, {"a": {"work": [str(bad)]}}))
    good.touch()
    bad.touch()
    assert platform.wait(first) == "finished"
    assert platform.wait(second) == "failed"
    until(lambda: probed.metric('jobs_total{result="failed"}') == 1)
    assert probed.metric('jobs_total{result="finished"}') == 1
    assert probed.metric("job_duration_seconds_count") == 2
    assert probed.metric("job_duration_seconds_sum") > 0
    assert probed.metric("job_highest_peak_memory_bytes") > 1 << 20
    assert probed.metric("outbox_depth") == 0
    name = 'job_import{}{{module="rq"}}'
    until(lambda: name.format("s_total") in probed.get("/metrics")[1])
    assert probed.metric(name.format("s_total")) == 1
    assert 0.02 <= probed.metric(name.format("_seconds_total")) < 60
    assert probed.get("/readyz")[0] == 200


def test_stopped_daemon_is_unhealthy(probed: Probed) -> None:
    """A daemon that SIGSTOP holds fails the check, and passes it after SIGCONT."""
    assert probed.health("--max-age", "8")[0] == 0
    probed.running.send(signal.SIGSTOP)
    try:
        until(lambda: probed.health("--max-age", "8")[0] == 1)
        assert "has not been heard of" in probed.health("--max-age", "8")[1]
    finally:
        probed.running.send(signal.SIGCONT)
    until(lambda: probed.health("--max-age", "8")[0] == 0)


def test_alive_without_the_api(
    probed: Probed, platform: Platform, own: LocalStack, tmp_path: Path
) -> None:
    """While the API is away the daemon is alive and healthy, but not ready."""
    go = tmp_path / "go"
    job = platform.submit(platform.entrypoint(SOURCE, {"a": {"work": [str(go)]}}))
    platform.wait_for_line(job, "working now")
    own.service("api").stop()
    try:
        until(lambda: probed.get("/readyz")[0] == 503)
        assert "Dioptra API does not answer" in probed.get("/readyz")[1]
        assert probed.get("/livez") == (200, "ok\n")
        go.touch()
        until(lambda: probed.metric("outbox_depth") > 0)
        assert probed.metric('waiting{service="Dioptra API"}') == 1
        until(lambda: "waiting for Dioptra API" in probed.health()[1])
        assert probed.health()[0] == 0
    finally:
        own.service("api").start()
    assert platform.wait(job) == "finished"
    until(lambda: probed.get("/readyz") == (200, "ok\n"))


def test_nothing_is_left(own: LocalStack, platform: Platform, tmp_path: Path) -> None:
    """An ended daemon leaves no heartbeat, and the check says that none runs."""
    with worker(own.environment(), tmp_path, "--burst", platform.queue) as running:
        assert running.wait() == 0
        probed = Probed(running, 0)
        code, words = probed.health()
        probed.session.close()
    assert (code, "none runs" in words) == (1, True)
    left = {path.name for path in running.work_dir.iterdir()}
    assert left <= {"users"}  # locks of jobs' users stay, for the next worker
    assert_locks_only(running.work_dir / "users")


def test_health_costs_milliseconds(probed: Probed) -> None:
    """The check takes about as long as an interpreter that imports click."""
    costs = []
    for command in ("import click", "import dioptra_worker.cli.health"):
        best = 60.0
        for _ in range(5):  # the processor's time, which a busy machine does not change
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", command], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            user = after.ru_utime - before.ru_utime
            best = min(best, user + after.ru_stime - before.ru_stime)
        costs.append(best)
    assert costs[1] - costs[0] < 0.1
    assert probed.health()[0] == 0
