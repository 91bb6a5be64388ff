"""Redis goes back to what it was a while ago, as from a snapshot that is restored.

A job that has ended is queued again, a lease that was given back is held again, an end
that was told is to be told again, attempts are forgotten. Only what belongs to the job,
its queue and their workers goes back, in one step: others use this Redis, too.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.fault_proxy import Rule, fault_proxy
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.testbed import Platform
from tests.plugins.until import until
from tests.plugins.worker_process import times, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis
    from tests.plugins.clients import ApiClient, MlflowReader
    from tests.plugins.fault_proxy import Exchange, FaultProxy
    from tests.plugins.worker_process import WorkerProcess

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(180)

LEASE_TTL = 6.0
SETTLED = 120.0
"""Seconds after which nothing is to be left of a job."""


class Snapshot:
    """What Redis has of one job, its queue and their workers."""

    def __init__(self, client: redis.Redis, job: int, queue: str) -> None:
        self._client, self._job = client, job
        self._wanted = re.compile(rf":{job}(:|$)|{re.escape(queue)}")
        self._taken = time.time()
        self._keys = {
            key: (client.dump(key), client.pttl(key)) for key in self._own_keys()
        }
        self._fields = self.fields()

    def _own_keys(self) -> list[bytes]:
        found: Any = self._client.scan_iter(count=1000)
        ours = (b"rq:", b"dioptra-worker:")
        return [
            key
            for key in found
            if key.startswith(ours) and self._wanted.search(key.decode())
        ]

    def fields(self) -> dict[tuple[str, bytes], bytes]:
        """The fields about the job, of hashes about many, that there are now."""
        found = {}
        for name in ("pending", "parked", "unknown-runs"):
            all_of_it: Any = self._client.hgetall(f"dioptra-worker:{name}")
            for name_of, value in all_of_it.items():
                if name_of == str(self._job).encode() or self._tells_of_it(value):
                    found[f"dioptra-worker:{name}", name_of] = value
        return found

    def _tells_of_it(self, value: bytes) -> bool:
        """Whether a field is about the job; other tests have fields of any kind."""
        try:
            found = json.loads(value)
        except ValueError:
            return False
        return isinstance(found, dict) and found.get("job_id") == self._job

    def left(self) -> list[str]:
        """The keys and fields of workers about the job that there are now."""
        keys = [key.decode() for key in self._own_keys()]
        about = re.compile(rf"dioptra-worker:.*:{self._job}(:|$)")
        fields = [f"{key} {name.decode()}" for key, name in self.fields()]
        return [key for key in keys if about.search(key)] + fields

    def restore(self) -> None:
        """Have Redis go back to this; what has run out since is gone."""
        passed = int((time.time() - self._taken) * 1000)
        with self._client.pipeline(transaction=True) as pipeline:
            for key in self._own_keys():
                pipeline.delete(key)
            for key, (value, left) in self._keys.items():
                if value is not None and (left < 0 or left > passed):
                    pipeline.restore(
                        key, max(0, left - passed) if left > 0 else 0, value
                    )
            for hash_key, name in self.fields():
                pipeline.hdel(hash_key, name.decode())
            for (hash_key, name), value in self._fields.items():
                pipeline.hset(hash_key, name.decode(), value.decode())
            pipeline.execute()


@dataclass
class Held:
    """Holds back the next setting of a status, until it may pass."""

    asked: threading.Event = field(default_factory=threading.Event)
    may_pass: threading.Event = field(default_factory=threading.Event)

    def __call__(self, exchange: Exchange) -> None:
        """Handle the request."""
        self.asked.set()
        self.may_pass.wait(60)
        exchange.reply(exchange.forward())


@dataclass(frozen=True)
class Scene:
    """Two workers of a queue, with the API behind a proxy."""

    platform: Platform
    proxy: FaultProxy
    workers: list[WorkerProcess] = field(default_factory=list)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Have no worker take anything until the end of the block."""
        for running in self.workers:
            running.send(signal.SIGSTOP)
        try:
            yield
        finally:
            for running in self.workers:
                running.send(signal.SIGCONT)


@pytest.fixture(scope="module", name="scene")
def _scene(
    stack: LocalStack, api: ApiClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    platform, environment = Platform(api), stack.environment()
    settings = {
        **times(taken_timeout=1.0, redis_timeout=2.0),
        "DIOPTRA_WORKER_LEASE_TTL": str(LEASE_TTL),
        "DIOPTRA_WORKER_LOST_AFTER": "5",
        "DIOPTRA_WORKER_KILL_GRACE": "1",
    }
    with (
        fault_proxy(environment["DIOPTRA_API"]) as proxy,
        contextlib.ExitStack() as closing,
    ):
        scene = Scene(platform, proxy)
        for name in ("left", "right"):
            running = worker(
                {**environment, "DIOPTRA_API": proxy.url},
                tmp_path_factory.mktemp(name),
                *("--name", f"{name}-{platform.queue}", platform.queue),
                settings=settings,
            )
            scene.workers.append(closing.enter_context(running))
        yield scene


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("taken", "restored"),
    [
        ("queued", "running"),
        ("queued", "over"),
        ("running", "running"),
        ("running", "over"),
        ("ending", "over"),
    ],
)
def test_a_snapshot_is_restored(
    taken: str,
    restored: str,
    scene: Scene,
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """The job has one end and one result, that stay; nothing is stuck or left."""
    platform = scene.platform
    queue = platform.queue
    with scene.stopped():
        stepwise = StepwiseJob(platform, tmp_path / "marks")
        job = stepwise.job
        until(lambda: redis_client.llen(f"rq:queue:{queue}") == 1)
        snapshot = Snapshot(redis_client, job, queue)
    stepwise.wait_at(0)
    platform.wait_for_line(job, "line 0")
    if taken == "running":
        snapshot = Snapshot(redis_client, job, queue)
        time.sleep(1.5)  # a heartbeat, so that the lease goes back, too
    if restored == "running":
        snapshot.restore()
        if taken == "queued":  # the other one may have it now, or nobody but the first
            time.sleep(LEASE_TTL / 3)
        stepwise.go_on()
    elif taken == "ending":
        held = Held()
        scene.proxy.add(Rule("PUT", rf"/jobs/{job}/status", held))
        stepwise.go_on()
        assert held.asked.wait(60)
        snapshot = Snapshot(redis_client, job, queue)
        assert any("pending" in key for key in snapshot.left())
        held.may_pass.set()
    else:
        stepwise.go_on()
    assert platform.wait(job, seconds=SETTLED) == "finished"
    if restored == "over":
        until(lambda: snapshot.left() == [], says=lambda: str(snapshot.left()))
        run = platform.run_id(job)
        snapshot.restore()
        # By the time that another job was run, this one would have been begun.
        after = StepwiseJob(platform, tmp_path / "after")
        after.go_on()
        assert platform.wait(after.job, seconds=SETTLED) == "finished"
        assert platform.run_id(job) == run
        assert len(stepwise.runs) == 1

    def is_settled() -> bool:
        assert platform.status(job) == "finished"
        left = redis_client.zcard(f"rq:wip:{queue}") + redis_client.llen(
            f"rq:queue:{queue}"
        )
        between = redis_client.llen(f"rq:queue:{queue}:intermediate")
        return not left and not between and snapshot.left() == []

    def what_is_left() -> str:
        logs = [running.log[-4000:] for running in scene.workers]
        return "\n".join([f"left of job {job}: {snapshot.left()}", *logs])

    until(is_settled, seconds=SETTLED, says=what_is_left)
    ends = [line.text for line in platform.log(job) if line.text == "the job finished"]
    assert len(ends) == 1
    assert len(platform.job(job)["artifacts"]) == 1
    found = mlflow_reader.search(f"tags.`dioptra.jobId` = '{job}'")
    statuses = sorted(it["info"]["status"] for it in found)
    assert statuses.count("FINISHED") == 1
    assert set(statuses) <= {"FINISHED", "KILLED"}
    assert mlflow_reader.status(platform.run_id(job)) == "FINISHED"
