"""Several slots in one worker: real jobs side by side, and what goes with a slot."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from rq import Worker
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from tests.plugins.clients import ApiClient

    from dioptra_worker.tools.local import LocalStack

SOURCE = """
@pyplugs.register
def meet(folder, both):
    print("gpu", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    folder = Path(folder)
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < both:
        time.sleep(0.05)


@pyplugs.register
def linger(folder):
    mark = Path(folder) / "first"
    again = mark.exists()
    mark.touch()
    if not again:
        time.sleep(300)
"""


def _wait_until_all_listen(running: WorkerProcess, number: int) -> None:
    deadline = time.monotonic() + 120
    while running.log.count(" listens on") < number:
        assert time.monotonic() < deadline, running.log
        time.sleep(0.05)


def _slot_pid(running: WorkerProcess, name: str) -> int:
    found = re.findall(rf"slot {name} is process (\d+)", running.log)
    assert found, running.log
    return int(found[-1])


def test_two_slots_run_two_jobs_at_once(
    stack: LocalStack, api: ApiClient, tmp_path: Path
) -> None:
    """Two jobs that wait for each other finish, each with the GPU of its slot."""
    platform = Platform(api)
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    entrypoint = platform.entrypoint(SOURCE, {"meeting": {"meet": [str(meeting), 2]}})
    environment = stack.environment()
    with worker(
        environment,
        tmp_path,
        *("--concurrency", "2", "--name", "pair", platform.queue),
        settings={"DIOPTRA_WORKER_GPUS": "4,7"},
    ) as running:
        _wait_until_all_listen(running, 2)
        with redis.from_url(environment["RQ_REDIS_URI"]) as connection:
            names = {found.name for found in Worker.all(connection=connection)}
        assert {"pair-1", "pair-2"} <= names
        jobs = [platform.submit(entrypoint) for _ in range(2)]
        assert [platform.wait(job, seconds=120) for job in jobs] == ["finished"] * 2
        logs = "\n".join(platform.text(job) for job in jobs)
        assert {"gpu 4", "gpu 7"} <= set(logs.splitlines())
        running.send(signal.SIGTERM)
        assert running.wait(60) == 0
    assert running.log.count("has ended with exit code 0") == 2


def test_a_lost_slot_gives_its_job_back(
    stack: LocalStack, api: ApiClient, tmp_path: Path
) -> None:
    """A slot that is killed comes back, and the job that it ran is run again."""
    platform = Platform(api)
    entrypoint = platform.entrypoint(SOURCE, {"step": {"linger": [str(tmp_path)]}})
    with worker(
        stack.environment(),
        tmp_path,
        *("--concurrency", "2", "--name", f"crew-{platform.queue}", platform.queue),
    ) as running:
        _wait_until_all_listen(running, 2)
        job = platform.submit(entrypoint)
        deadline = time.monotonic() + 60
        while not (tmp_path / "first").exists():
            assert time.monotonic() < deadline, running.log
            time.sleep(0.05)
        name = re.findall(r"worker '([^']+)' runs", platform.text(job) + running.log)[0]
        os.kill(_slot_pid(running, name), signal.SIGKILL)
        assert platform.wait(job, seconds=240) == "finished"
        assert "the worker that ran this job was lost" in platform.text(job)
        assert f"slot {name} was lost (exit code 137)" in running.log
        running.send(signal.SIGTERM)
        assert running.wait(60) == 0


def test_a_worker_that_keeps_nothing_warm(
    stack: LocalStack, api: ApiClient, tmp_path: Path
) -> None:
    """With --no-warm a job finishes like any other, and no runner waits before it."""
    platform = Platform(api)
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    entrypoint = platform.entrypoint(SOURCE, {"alone": {"meet": [str(meeting), 1]}})
    with worker(stack.environment(), tmp_path, "--no-warm", platform.queue) as running:
        commands = [
            Path(f"/proc/{pid}/cmdline").read_text() for pid in running.descendants()
        ]
        assert not any("forkserver.standby" in command for command in commands)
        job = platform.submit(entrypoint)
        assert platform.wait(job, seconds=240) == "finished"
