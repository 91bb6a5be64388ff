"""Transfers that take long, break off, or do not fit; and names nobody can keep."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import redis
from rq.command import send_stop_job_command
from tests.plugins.fault_proxy import Rule, fault_proxy, hang
from tests.plugins.small_disk import may_mount, small_disk
from tests.plugins.tcp_proxy import TcpProxy, tcp_proxy
from tests.plugins.testbed import Platform
from tests.plugins.until import PATIENCE, until
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client
    from tests.plugins.clients import ApiClient
    from tests.plugins.testbed import Entrypoint

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20
SIZE = 16 * MIB
SLOW = 0.25 * MIB
"""Bytes a second at which that takes more than a minute, if it is left to."""
LONG = 120.0
SOURCE = """
import hashlib


class Blob(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        path = Path(working_dir, name)
        path.write_bytes(contents)
        print("wrote", hashlib.sha256(contents).hexdigest())
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return Path(working_dir, path).read_bytes()

    @staticmethod
    def validation():
        return None


@pyplugs.register
def make(size):
    return os.urandom(size)


@pyplugs.register
def read(blob):
    print("read", hashlib.sha256(blob).hexdigest())
"""


@pytest.fixture(name="store")
def _store(stack: LocalStack) -> Iterator[TcpProxy]:
    """What stands between workers and S3."""
    port = urlsplit(stack.environment()["MLFLOW_S3_ENDPOINT_URL"]).port
    assert port is not None
    with tcp_proxy(port) as proxy:
        yield proxy


@pytest.fixture(name="environment")
def _environment(stack: LocalStack, store: TcpProxy) -> dict[str, str]:
    url = f"http://127.0.0.1:{store.port}"
    return stack.environment() | {"MLFLOW_S3_ENDPOINT_URL": url}


@pytest.fixture(name="consumer")
def _consumer(platform: Platform) -> Entrypoint:
    graph = {"reading": {"read": ["$blob"]}}
    return platform.entrypoint(SOURCE, graph, artifact_inputs={"blob": ["blob"]})


def _producer(platform: Platform) -> Entrypoint:
    return platform.entrypoint(
        SOURCE,
        {"making": {"make": [SIZE]}},
        artifact_outputs={"blob": {"contents": "$making", "task": {"name": "Blob"}}},
    )


def _made(platform: Platform, job: int) -> tuple[dict[str, dict[str, int]], str]:
    """What a consumer of a job's artifact is given, and what it must read."""
    blob = platform.artifacts(job)["blob"]
    given = {"blob": {"id": blob["id"], "snapshotId": blob["snapshot"]}}
    (line,) = [it.text for it in platform.log(job) if it.text.startswith("wrote ")]
    return given, line.replace("wrote", "read")


@pytest.fixture(scope="module", name="peaceful")
def _peaceful(
    api: ApiClient, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, WorkerProcess]]:
    """A worker from which nothing is cut off, and its queue, which no other serves."""
    platform = Platform(api)
    folder = tmp_path_factory.mktemp("peaceful")
    with worker(stack.environment(), folder, platform.queue) as running:
        yield platform, running


@pytest.fixture(scope="module", name="given")
def _given(
    peaceful: tuple[Platform, WorkerProcess],
) -> tuple[dict[str, dict[str, int]], str]:
    """An artifact that a job has made in peace."""
    platform, _ = peaceful
    return _made(platform, platform.run(_producer(platform), seconds=LONG))


@pytest.mark.slow
def test_long_transfers_say_how_far_they_are(
    platform: Platform,
    consumer: Entrypoint,
    environment: dict[str, str],
    store: TcpProxy,
    tmp_path: Path,
) -> None:
    """The log of a job says how far its artifact is, on its way up and down."""
    with worker(environment, tmp_path / "up", platform.queue):
        store.slow(SLOW)
        job = platform.submit(_producer(platform))
        platform.wait_for_line(job, "storing 'blob': ", seconds=LONG)
        store.pass_on()
        assert platform.wait(job, seconds=LONG) == "finished", platform.text(job)
    _assert_progress(platform, job, "storing 'blob'")
    given, read = _made(platform, job)
    with worker(environment, tmp_path / "down", platform.queue):
        store.slow(SLOW)
        job = platform.submit(consumer, artifacts=given)
        words = "fetching input artifact 'blob' from its store"
        platform.wait_for_line(job, f"{words}: ", seconds=LONG)
        store.pass_on()
        assert platform.wait(job, seconds=LONG) == "finished", platform.text(job)
    _assert_progress(platform, job, words)
    assert read in platform.text(job)


def _assert_progress(platform: Platform, job: int, words: str) -> None:
    """Each line says how much there is of how much, and never less than before."""
    lines = [it.text for it in platform.log(job) if it.text.startswith(f"{words}: ")]
    before = 0.0
    for line in lines:
        amount, unit, of, total, unit_of, rate, per = line.removeprefix(
            f"{words}: "
        ).split(" ")
        assert (of, total, unit_of) == ("of", "16", "MiB,")
        assert float(rate) > 0.0
        assert per.endswith("iB/s")
        there = float(amount) * {"KiB": 1 / 1024, "MiB": 1.0}[unit]
        assert before < there <= 16.0
        before = there


def _fetcher(running: WorkerProcess) -> int | None:
    """The process that fetches an artifact: one with a scratch file open."""
    for pid in running.descendants():
        for entry in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                if "/scratch-" in str(entry.readlink()):
                    return pid
            except OSError:
                continue
    return None


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_download_that_is_killed(
    platform: Platform,
    consumer: Entrypoint,
    given: tuple[dict[str, dict[str, int]], str],
    environment: dict[str, str],
    store: TcpProxy,
    tmp_path: Path,
) -> None:
    """A download that is killed is said, its remains go, the API takes over."""
    artifacts, read = given
    with worker(environment, tmp_path / "w", platform.queue) as running:
        idle = len(running.descendants())
        store.slow(SLOW)
        job = platform.submit(consumer, artifacts=artifacts)
        until(lambda: _fetcher(running) is not None)
        fetcher = _fetcher(running)
        assert fetcher is not None
        os.kill(fetcher, signal.SIGKILL)
        platform.wait_for_line(job, "was killed by SIGKILL", seconds=PATIENCE)
        assert not list(running.work_dir.glob("job-*/.dioptra/scratch-*/part.*"))
        store.pass_on()
        assert platform.wait(job, seconds=LONG) == "finished", platform.text(job)
        assert read in platform.text(job)
        until(lambda: len(running.descendants()) <= idle)
        until(lambda: not list(running.work_dir.glob("job-*")))


@pytest.mark.skipif(not may_mount(), reason="needs to mount a small disk, as root")
@pytest.mark.parametrize("room", ["too small", "filled meanwhile"])
def test_a_disk_without_room(
    room: str,
    platform: Platform,
    consumer: Entrypoint,
    given: tuple[dict[str, dict[str, int]], str],
    environment: dict[str, str],
    store: TcpProxy,
    tmp_path: Path,
) -> None:
    """An artifact without room fails its job in one sentence, and the API is spared."""
    artifacts, _ = given
    size = "12m" if room == "too small" else "24m"
    with (
        small_disk(tmp_path / "disk", size) as disk,
        fault_proxy(environment["DIOPTRA_API"]) as proxy,
        worker(
            environment | {"DIOPTRA_API": proxy.url},
            tmp_path,
            platform.queue,
            settings={"DIOPTRA_WORKER_WORK_DIR": str(disk)},
        ) as running,
    ):
        running.work_dir = disk
        store.slow(SLOW)
        job = platform.submit(consumer, artifacts=artifacts)
        if room == "filled meanwhile":
            until(lambda: _fetcher(running) is not None)
            (disk / "other").write_bytes(bytes(20 * MIB))
            store.pass_on()
        assert platform.wait(job, seconds=LONG) == "failed"
        until(lambda: not list(disk.glob("job-*")))
        assert not [call for call in proxy.calls if "/contents" in call]
    text = platform.text(job)
    assert "input artifact 'blob' cannot be used: this worker's disk has no" in text
    assert "was killed" not in text
    why = "it has 16 MiB, and " if room == "too small" else "No space left on device"
    assert why in text
    assert "Traceback" not in text


def test_an_artifact_that_is_gone(
    peaceful: tuple[Platform, WorkerProcess], consumer: Entrypoint, s3: S3Client
) -> None:
    """A job whose input was removed from its store fails at once, and says so."""
    platform, running = peaceful
    made = platform.run(_producer(platform), seconds=LONG)
    artifacts, _ = _made(platform, made)
    uri = platform.api.get(f"/artifacts/{artifacts['blob']['id']}")["artifactUri"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3.delete_object(Bucket=bucket, Key=key)
    job = platform.run(consumer, ends="failed", artifacts=artifacts, seconds=LONG)
    until(lambda: not list(running.work_dir.glob("job-*")))
    text = platform.text(job)
    assert f"S3 does not have {uri}" in text
    assert "'blob' cannot be used: its store does not have it any more" in text


def test_a_job_that_is_stopped_while_the_api_fetches(
    platform: Platform,
    consumer: Entrypoint,
    given: tuple[dict[str, dict[str, int]], str],
    environment: dict[str, str],
    store: TcpProxy,
    tmp_path: Path,
) -> None:
    """A job ends at once when it is stopped, however long the API would be silent."""
    artifacts, _ = given
    store.refuse()
    with fault_proxy(environment["DIOPTRA_API"]) as api:
        rule = api.add(Rule("GET", r"/contents", hang, times=100))
        with worker(
            environment | {"DIOPTRA_API": api.url}, tmp_path / "w", platform.queue
        ) as running:
            job = platform.submit(consumer, artifacts=artifacts)
            until(lambda: rule.hits > 0)
            redis_uri = environment["RQ_REDIS_URI"]
            with redis.Redis.from_url(redis_uri) as connection:
                send_stop_job_command(connection, str(job))
            assert platform.wait(job, seconds=PATIENCE) == "failed"
            until(lambda: not list(running.work_dir.glob("job-*")))
    assert "stopped by request" in platform.text(job)


NAMES = """
@pyplugs.register
def text():
    return "text"


class Odd(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        path = Path(working_dir, "what?.txt")
        path.write_text(contents)
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return path

    @staticmethod
    def validation():
        return None


class Bare(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        path = Path(working_dir, name)
        (path / "deep").mkdir(parents=True)
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return path

    @staticmethod
    def validation():
        return None
"""


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("Odd", "wrote 'what?.txt' for 'kept', and the platform does not find"),
        ("Bare", "the folder 'kept' has no file in it"),
    ],
)
def test_what_the_platform_cannot_keep(
    task: str, words: str, peaceful: tuple[Platform, WorkerProcess]
) -> None:
    """An artifact that the platform would look for in vain fails the job at once."""
    platform, _ = peaceful
    entrypoint = platform.entrypoint(
        NAMES,
        {"texting": {"text": []}},
        artifact_outputs={"kept": {"contents": "$texting", "task": {"name": task}}},
    )
    job = platform.run(entrypoint, ends="failed")
    assert words in platform.text(job)
    assert platform.job(job)["artifacts"] == []
