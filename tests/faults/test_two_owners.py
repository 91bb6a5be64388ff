"""Two workers that both believe that a job is theirs: only one of them is heard.

The first one loses Redis, or Redis and the API, for longer than its lease lasts; the
second takes the job over. Proxies stand between the first worker and the services.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.tcp_proxy import TcpProxy, tcp_proxy
from tests.plugins.testbed import Platform
from tests.plugins.until import until
from tests.plugins.worker_process import WorkerProcess, alive, times, worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import redis
    from tests.plugins.clients import ApiClient, MlflowReader

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

SOURCE = """
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client


@pyplugs.register
def begin(folder):
    return f"by run {len(list(Path(folder).glob('run-*'))) + 1}"


@pyplugs.register
def measure(folder):
    # Each attempt says which it is; all but the last one wait to be allowed to end.
    attempt = len(list(Path(folder).glob("run-*"))) + 1
    client = get_authenticated_worker_client(LOG, "json")

    def say(text):
        print(text, "of run", attempt, flush=True)
        client.jobs.append_metric_by_id(
            job_id=os.environ["__JOB_ID"],
            metric_name="seen",
            metric_value=float(attempt),
            metric_step=0,
        )

    say("begin")
    Path(folder, f"run-{attempt}").write_text(str(os.getpid()))
    deadline = time.time() + 100
    while not Path(folder, f"more-{attempt}").exists() and time.time() < deadline:
        time.sleep(0.01)
    say("more")
    Path(folder, f"said-{attempt}").touch()
    while not Path(folder, f"end-{attempt}").exists() and time.time() < deadline:
        time.sleep(0.01)
    return f"by run {attempt}"
"""
LEASE_TTL = 6.0
SETTINGS = {
    "DIOPTRA_WORKER_LEASE_TTL": str(LEASE_TTL),
    "DIOPTRA_WORKER_KILL_GRACE": "1",
    "DIOPTRA_WORKER_API_TIMEOUT": "2",
}


@dataclass
class Scene:
    """A job that the first worker has begun, and what is between it and the services.

    Attributes:
        job: Its id.
        marks: Where its attempts and the test leave marks for each other.
        first: The first worker.
        redis: Between it and Redis.
        api: Between it and the API.
        environment: Of workers that nothing is cut off from.
        proxied: The first worker's.
    """

    platform: Platform
    mlflow: MlflowReader
    job: int
    marks: Path
    first: WorkerProcess
    redis: TcpProxy
    api: TcpProxy
    environment: Mapping[str, str]
    proxied: Mapping[str, str]

    def second(self, *options: str) -> AbstractContextManager[WorkerProcess]:
        """Start another worker, which nothing is cut off from."""
        return worker(
            self.environment,
            self.marks.parent / "second",
            *options,
            self.platform.queue,
            settings=SETTINGS,
        )

    @property
    def name(self) -> str:
        """What the first worker is called."""
        return f"first-{self.platform.queue}"

    def wait_for_run(self, number: int) -> int:
        """Wait until an attempt has begun; its process."""
        mark = self.marks / f"run-{number}"
        until(
            lambda: mark.exists() and mark.read_text() != "",
            seconds=60,
            says=lambda: f"{self.first.log}\n{self.platform.text(self.job)}",
        )
        return int(mark.read_text())

    def end(self, number: int) -> None:
        """Let an attempt end."""
        for word in ("more", "end"):
            (self.marks / f"{word}-{number}").touch()

    def check(self, number: int) -> None:
        """What is seen is that attempt's, and nothing of another after its end."""
        platform, job = self.platform, self.job
        assert platform.status(job) == "finished"
        assert self.mlflow.status(platform.run_id(job)) == "FINISHED"
        found = platform.api.get(f"/jobs/{job}/metrics/seen/snapshots")["data"]
        assert [entry["value"] for entry in found][-1] == number
        artifacts = platform.artifacts(job)
        for name in ("early", "kept"):
            assert platform.content(artifacts[name]) == f"by run {number}".encode()
        assert len(platform.job(job)["artifacts"]) == 2
        lines = [line.text for line in platform.log(job)]
        end = lines.index("the job finished")
        late = [line for line in lines[end + 1 :] if not line.startswith("[attempt 1]")]
        assert late == []
        assert lines.count("the job finished") == 1


@pytest.fixture(name="scene")
def _scene(
    api: ApiClient, stack: LocalStack, mlflow_reader: MlflowReader, tmp_path: Path
) -> Iterator[Scene]:
    platform = Platform(api)
    marks = tmp_path / "marks"
    marks.mkdir()
    entrypoint = platform.entrypoint(
        SOURCE,
        {
            "beginning": {"begin": [str(marks)]},
            "measuring": {"measure": [str(marks)], "dependencies": ["beginning"]},
        },
        artifact_outputs={
            "early": {"contents": "$beginning", "task": {"name": "Text"}},
            "kept": {"contents": "$measuring", "task": {"name": "Text"}},
        },
    )
    environment = stack.environment()
    ports = {name: stack.service(name).port for name in ("valkey", "api")}
    with tcp_proxy(ports["valkey"]) as redis, tcp_proxy(ports["api"]) as rest:
        for name, setting, proxy in (
            ("valkey", "RQ_REDIS_URI", redis),
            ("api", "DIOPTRA_API", rest),
        ):
            environment[setting] = environment[setting].replace(
                f":{ports[name]}", f":{proxy.port}"
            )
        with worker(
            environment,
            tmp_path / "first",
            "--name",
            f"first-{platform.queue}",
            platform.queue,
            settings={**SETTINGS, **times(redis_timeout=1.0)},
        ) as first:
            job = platform.submit(entrypoint)
            yield Scene(
                platform,
                mlflow_reader,
                job,
                marks,
                first,
                redis,
                rest,
                stack.environment(),
                environment,
            )


@pytest.mark.parametrize("how", ["refuse", "hang"])
def test_redis_only(how: str, scene: Scene) -> None:
    """Without Redis a worker stops its job before another one may have it."""
    runner = scene.wait_for_run(1)
    scene.platform.wait_for_line(scene.job, "begin of run 1")
    run = scene.platform.run_id(scene.job)
    getattr(scene.redis, how)()
    with scene.second() as second:
        scene.wait_for_run(2)
        assert not alive(runner)
        scene.end(2)
        second.wait_for(f"job {scene.job} finished")
        scene.redis.pass_on()
        scene.first.wait_for(f"job {scene.job} dropped")
        scene.check(2)
    assert scene.mlflow.status(run) == "KILLED"
    scene.first.send()
    assert scene.first.wait() == 0
    scene.check(2)


def test_redis_and_api(scene: Scene) -> None:
    """What a worker has left when it is back is told apart, or left alone."""
    scene.wait_for_run(1)
    scene.platform.wait_for_line(scene.job, "begin of run 1")
    scene.api.refuse()
    (scene.marks / "more-1").touch()
    until((scene.marks / "said-1").exists)
    scene.redis.refuse()
    with scene.second() as second:
        scene.wait_for_run(2)
        scene.end(2)
        second.wait_for(f"job {scene.job} finished")
    scene.redis.pass_on()
    scene.api.pass_on()
    scene.first.wait_for(f"job {scene.job} dropped", seconds=60)
    scene.platform.wait_for_line(scene.job, "[attempt 1] more of run 1", seconds=60)
    scene.check(2)


def test_a_stopped_machine(scene: Scene) -> None:
    """A worker that was stopped for longer than its lease writes nothing after it."""
    scene.wait_for_run(1)
    scene.platform.wait_for_line(scene.job, "begin of run 1")
    stopped = [scene.first.process.pid, *scene.first.descendants()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    with scene.second() as second:
        scene.wait_for_run(2)
        scene.end(1)
        scene.end(2)
        second.wait_for(f"job {scene.job} finished")
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        scene.first.wait_for(f"job {scene.job} dropped", seconds=60)
        scene.check(2)


def test_a_namesake(scene: Scene, redis_client: redis.Redis) -> None:
    """A worker that stood still and was replaced, name and all, ends and says so."""
    scene.wait_for_run(1)
    scene.platform.wait_for_line(scene.job, "begin of run 1")
    stopped = [scene.first.process.pid, *scene.first.descendants()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    key = f"rq:worker:{scene.name}"
    with scene.second("--name", scene.name) as second:
        scene.wait_for_run(2)
        scene.end(1)
        scene.end(2)
        second.wait_for(f"job {scene.job} finished")
        text = scene.platform.text(scene.job)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert scene.first.wait(60) == 1
        assert f"job {scene.job} dropped" in scene.first.log
        words = f"process {second.process.pid} on"
        assert f"{words} {socket.gethostname()} has the name" in scene.first.log
        scene.check(2)
        assert scene.platform.text(scene.job) == text
        record = redis_client.hgetall(key)
        assert record[b"pid"] == str(second.process.pid).encode()
        assert b"death" not in record
        again = StepwiseJob(scene.platform, scene.marks / "again")
        again.go_on()
        assert scene.platform.wait(again.job) == "finished"


def test_a_lease_of_who_is_gone(scene: Scene, redis_client: redis.Redis) -> None:
    """A job that is left to a holder of its lease who is no more begins anew."""
    scene.wait_for_run(1)
    scene.platform.wait_for_line(scene.job, "begin of run 1")
    lease = f"dioptra-worker:lease:{scene.job}"
    held = json.loads(redis_client.get(lease) or b"")
    gone = {**held, "boot": "another", "host": "elsewhere", "worker": "gone"}
    redis_client.set(lease, json.dumps(gone), px=int(LEASE_TTL * 1000))
    scene.first.wait_for("worker 'gone' on elsewhere has taken it over")
    scene.wait_for_run(2)
    scene.end(2)
    scene.first.wait_for(f"job {scene.job} finished")
    scene.check(2)


def test_nobody_else(scene: Scene) -> None:
    """A job that was stopped for its lease, and that nobody took, begins anew."""
    runner = scene.wait_for_run(1)
    scene.redis.refuse()
    until(lambda: not alive(runner))
    scene.redis.pass_on()
    scene.wait_for_run(2)
    scene.end(2)
    assert scene.platform.wait(scene.job) == "finished"
    scene.check(2)


def test_killed_after_an_artifact_was_stored(scene: Scene) -> None:
    """What a lost attempt has stored is not seen beside what the next one stores."""
    scene.wait_for_run(1)  # the step before it has stored its artifact
    run = scene.platform.run_id(scene.job)
    until(lambda: scene.mlflow.artifacts(run, "early") != [])
    scene.first.send(signal.SIGKILL)
    scene.first.wait()
    with scene.second() as second:
        scene.wait_for_run(2)
        assert scene.platform.job(scene.job)["artifacts"] == []
        scene.end(2)
        second.wait_for(f"job {scene.job} finished")
    scene.check(2)
    assert scene.mlflow.status(run) == "KILLED"


def test_killed_between_the_end_and_its_delivery(
    scene: Scene, redis_client: redis.Redis
) -> None:
    """Another machine tells the end, and registers the artifacts; each of it once."""
    scene.wait_for_run(1)
    scene.platform.wait_for_line(scene.job, "begin of run 1")
    scene.api.refuse()
    scene.end(1)
    pending = "dioptra-worker:pending"
    until(lambda: redis_client.hexists(pending, str(scene.job)))
    scene.first.send(signal.SIGKILL)
    scene.first.wait()
    with scene.second() as second:
        second.wait_for(f"job {scene.job} finished")
        scene.check(1)
    scene.api.pass_on()
    with worker(
        scene.proxied,
        scene.marks.parent / "first",
        scene.platform.queue,
        settings=SETTINGS,
    ) as again:
        again.wait_for("delivered late")
        until(lambda: not list(again.work_dir.glob("outbox/job-*")))
    text = scene.platform.text(scene.job)
    assert text.count("the job finished") == 1
    assert "more of run 1" in text
    assert len(scene.platform.job(scene.job)["artifacts"]) == 2
