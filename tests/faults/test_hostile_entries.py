"""Queue entries that nobody should have written: told, dropped, and no harm done."""

from __future__ import annotations

import os
import pickle
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from rq import Queue
from rq.job import Job
from tests.plugins.scene import Scene
from tests.plugins.until import PATIENCE, until
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

FUNCTION = "dioptra.rq.tasks.run_v1_dioptra_job"
SOURCE = """
@pyplugs.register
def act():
    time.sleep(0.2)
    print("ran")
"""


class Evil:
    """Makes a folder when it is unpickled by who allows that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="module", name="daemon")
def _daemon(
    stack: LocalStack, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    with worker(
        stack.environment(),
        folder,
        platform.queue,
        settings={"DIOPTRA_WORKER_LOST_AFTER": "2"},
    ) as running:
        yield running


@pytest.fixture(name="scene")
def _scene(platform: Platform, daemon: WorkerProcess) -> Scene:
    return Scene(platform, daemon)


def _kwargs(job_id: object, experiment_id: object = 1) -> dict[str, object]:
    return {"job_id": job_id, "experiment_id": experiment_id}


PAYLOADS = {
    "another function": ("os.system", (), _kwargs(1)),
    "a function of ours": ("dioptra_worker.cli.start.main", (), {}),
    "no arguments": (FUNCTION, (), {}),
    "positional arguments": (FUNCTION, (1, 2), {}),
    "a negative id": (FUNCTION, (), _kwargs(-7)),
    "a huge id": (FUNCTION, (), _kwargs(10**5000)),
    "an id of text": (FUNCTION, (), _kwargs("1; drop table jobs")),
    "a float for an id": (FUNCTION, (), _kwargs(1.5)),
    "true for an id": (FUNCTION, (), _kwargs(True)),
    "one argument more": (FUNCTION, (), {**_kwargs(1), "shell": "rm"}),
}


@pytest.mark.parametrize("name", [*PAYLOADS, "a global", "no pickle", "no zlib"])
def test_payload(
    name: str,
    platform: Platform,
    scene: Scene,
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    """An entry that is no Dioptra job is refused with its reason, and runs no code."""
    queue = Queue(platform.queue, connection=redis_client)
    entry = Job.create(FUNCTION, kwargs=_kwargs(1), connection=redis_client, timeout=60)
    entry.save()
    target = tmp_path / "made by a pickle"
    if name == "a global":
        data = zlib.compress(
            pickle.dumps((FUNCTION, None, (), {"job_id": Evil(target)}))
        )
    elif name == "no pickle":
        data = zlib.compress(b"garbage")
    elif name == "no zlib":
        data = b"\xff\xfe garbage"
    else:
        function, args, kwargs = PAYLOADS[name]
        data = zlib.compress(pickle.dumps((function, None, args, kwargs)))
    redis_client.hset(entry.key, "data", data)
    queue.push_job_id(entry.id)
    until(lambda: redis_client.hget(entry.key, "status") == b"failed")
    until(lambda: entry.id in scene.daemon.log)  # a line may come after the status
    assert not target.exists()
    assert "Traceback" not in scene.daemon.log
    scene.assert_clean()


@pytest.mark.parametrize("timeout", ["3", "1d", "-1", "1H"])
def test_odd_time_limits(
    timeout: str, platform: Platform, scene: Scene, witness: Witness
) -> None:
    """A time limit that the API takes, however it is written, is one."""
    entrypoint = platform.entrypoint(SOURCE, {"acting": {"act": []}})
    job = platform.submit(entrypoint, timeout=timeout)
    assert witness.outcome(job, says="the job finished").api == "finished"
    scene.assert_clean()


@pytest.mark.parametrize("limit", ["99999999999999h", "soon"])
def test_a_time_limit_that_is_none(
    limit: str,
    platform: Platform,
    scene: Scene,
    redis_client: redis.Redis,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """A job whose queue entry has an impossible time limit still gets an end."""
    entrypoint = platform.entrypoint(SOURCE, {"acting": {"act": []}})
    redis_client.set("rq:suspended", 1)
    try:
        job = platform.submit(entrypoint)
        redis_client.hset(f"rq:job:{job}", "timeout", limit)
    finally:
        redis_client.delete("rq:suspended")
    platform.wait(job, seconds=PATIENCE * 2)
    outcome = witness.outcome(job, says="the job")
    assert outcome.api in {"finished", "failed"}
    fault_report.job("15d", f"`{limit}`", outcome)
    scene.assert_clean()
