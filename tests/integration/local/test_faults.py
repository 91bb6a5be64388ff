"""Services that are stopped, paused and killed, and stacks that are mended."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import redis
import requests
from botocore.exceptions import ClientError
from tests.plugins.clients import ApiClient, s3_client
from tests.plugins.stack import QUEUES, cache_folder, fresh_stack

from dioptra_worker.common.processes import process_identity
from dioptra_worker.tools.local import LocalStack, ServiceFailed
from dioptra_worker.tools.local.config import BUCKET, SERVICES
from dioptra_worker.tools.local.ports import is_free

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def pids(stack: LocalStack) -> dict[str, int | None]:
    """Return every service's process."""
    return {name: stack.service(name).pid for name in SERVICES}


def up_again(stack: LocalStack) -> LocalStack:
    """Run `up` once more on the same folder."""
    return LocalStack.up(stack.directory, queues=QUEUES, cache=stack.cache)


@pytest.mark.parametrize("name", SERVICES)
def test_a_killed_service_is_started_again_in_its_place(
    own: LocalStack, name: str
) -> None:
    """`up` restarts what died, on the same port, and touches nothing else."""
    before = pids(own)
    own.service(name).kill()
    assert own.service(name).health().problem == "not running"
    assert is_free(own.service(name).port)

    mended = up_again(own)
    assert not mended.was_running
    after = pids(own)
    assert after.pop(name) not in {None, before.pop(name)}
    assert after == before
    assert all(health.healthy for health in own.status())


def test_a_paused_service_hangs_until_it_is_resumed(own: LocalStack) -> None:
    """A paused API takes connections and answers nothing; then it goes on."""
    api = own.service("api")
    pid = api.pid
    api.pause()
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{api.url}/health", timeout=0.5)
    assert not api.health(timeout=0.5).healthy
    api.resume()
    api.wait_healthy(timeout=10)
    assert api.pid == pid


def test_up_wakes_a_paused_service(own: LocalStack) -> None:
    """What only sleeps is woken, with all that it holds in memory."""
    before = pids(own)
    own.service("s3").pause()
    up_again(own)
    assert pids(own) == before


def test_a_stopped_valkey_keeps_what_was_queued(own: LocalStack) -> None:
    """Entries survive a stop and, written each second, a kill."""
    with redis.Redis.from_url(own.environment()["RQ_REDIS_URI"]) as client:
        client.rpush("list", "entry")
        own.service("valkey").stop()
        own.service("valkey").start()
        assert client.lrange("list", 0, -1) == [b"entry"]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_s3_keeps_its_objects(own: LocalStack, end: str) -> None:
    """What was stored survives a stop and a kill, also under an awkward key."""
    client = s3_client(own.environment())
    key = "a b/ü+%41&=?#.bin"
    body = bytes(range(256)) * 50
    client.put_object(Bucket=BUCKET, Key=key, Body=body)
    s3 = own.service("s3")
    s3.kill() if end == "kill" else s3.stop()
    s3.start()
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body
    client.close()


def test_s3_refuses_strangers(own: LocalStack) -> None:
    """Neither another secret nor none at all opens the bucket."""
    wrong = own.environment() | {"AWS_SECRET_ACCESS_KEY": "guessed"}
    client = s3_client(wrong)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client.list_objects_v2(Bucket=BUCKET)
    client.close()
    address = own.environment()["MLFLOW_S3_ENDPOINT_URL"]
    assert requests.get(f"{address}/{BUCKET}", timeout=10).status_code == 400


def test_a_killed_api_leaves_no_child(own: LocalStack) -> None:
    """All processes of a service end with it, though only one was known."""
    api = own.service("api")
    assert len(api._processes()) > 1
    before = api._processes()
    api.kill()
    assert not any(process.is_alive() for process in before)
    api.start()


def test_a_service_that_cannot_start_says_why(own: LocalStack) -> None:
    """The error names the service and its log, and brings the log's last lines."""
    valkey = own.service("valkey")
    valkey.stop()
    manifest = next((own.directory / "valkey").glob("appendonlydir/*.manifest"))
    good = manifest.read_text()
    manifest.write_text("nonsense\n")
    with pytest.raises(ServiceFailed) as failure:
        valkey.start(timeout=20)
    message = str(failure.value)
    assert "'valkey' ended by itself" in message
    assert str(valkey.log) in message
    assert "manifest" in failure.value.tail
    manifest.write_text(good)
    valkey.start()


@pytest.mark.slow
def test_up_that_fails_leaves_nothing_running(tmp_path: Path) -> None:
    """When one service cannot start, those that this `up` started are stopped."""
    folder = tmp_path / "stack"
    with fresh_stack(folder) as stack:
        stack.down(keep=True)
        manifest = next((folder / "valkey").glob("appendonlydir/*.manifest"))
        manifest.write_text("nonsense\n")
        config = stack.config
        with pytest.raises(ServiceFailed, match="'valkey' ended by itself"):
            LocalStack.up(folder, queues=QUEUES, cache=cache_folder())
        assert process_identity.find_by_environment(config.token) == []


@pytest.mark.slow
def test_a_kept_stack_comes_back_as_it_was(tmp_path: Path) -> None:
    """`down --keep` and `up` keep users, queue entries, objects and addresses."""
    folder = tmp_path / "stack"
    with fresh_stack(folder) as stack:
        environment = stack.environment()
        api = ApiClient(environment)
        made = api.post("/queues/", {"name": "mine", "description": "", "group": 1})
        api.close()
        s3 = s3_client(environment)
        s3.put_object(Bucket=BUCKET, Key="kept", Body=b"bytes")
        stack.down(keep=True)
        assert process_identity.find_by_environment(stack.config.token) == []
        assert folder.exists()

        again = LocalStack.up(folder, queues=QUEUES, cache=cache_folder())
        assert again.environment() == environment
        api = ApiClient(environment)
        assert api.queue_id("mine") == made["id"]
        api.close()
        assert s3.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"bytes"
        s3.close()


def test_two_commands_at_once_make_one_stack(tmp_path: Path) -> None:
    """Of two `up`s at the same time one starts the stack and one finds it."""
    folder = tmp_path / "stack"
    program = [sys.executable, "-m", "dioptra_worker.cli.local", "up"]
    program += ["--dir", str(folder)]
    environment = os.environ | {"DIOPTRA_WORKER_CACHE_DIR": str(cache_folder())}

    def up(_number: int) -> str:
        answer = subprocess.run(
            program,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env=environment,
        )
        assert answer.returncode == 0, answer.stderr
        return str(answer.stdout)

    try:
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(up, range(2)))
        assert sum("is up" in text for text in said) == 1
        assert sum("was running already" in text for text in said) == 1
        stack = LocalStack.attach(folder)
        masters = [stack.service(name).pid for name in SERVICES]
        sessions = {
            os.getsid(p.pid)
            for p in process_identity.find_by_environment(stack.config.token)
        }
        assert sessions == set(masters)
    finally:
        LocalStack.attach(folder, cache=cache_folder()).down()


def test_an_environment_without_the_api_is_said_in_a_sentence(tmp_path: Path) -> None:
    """A wrong --peer-python is named, with what it should have."""
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "dioptra_worker.cli.local", "up"),
            *("--dir", str(tmp_path / "stack"), "--peer-python", sys.executable),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"DIOPTRA_WORKER_CACHE_DIR": str(cache_folder())},
    )
    assert answer.returncode == 1
    assert "Could not make the REST API's database" in answer.stderr
    assert "Is dioptra-platform installed there?" in answer.stderr
    assert "Traceback (most recent call last):\n  File" not in answer.stderr[:200]
    LocalStack.attach(tmp_path / "stack", cache=cache_folder()).down()


def test_a_package_index_that_cannot_be_reached_is_said_in_a_sentence(
    tmp_path: Path,
) -> None:
    """The first `up` without a network names the cause, the log and two ways out."""
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "dioptra_worker.cli.local", "up"),
            *("--dir", str(tmp_path / "stack"), "--cache", str(tmp_path / "cache")),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ
        | {
            "DIOPTRA_WORKER_PEER_PYTHON": "",  # none that the test run has made
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(tmp_path),
            "PIP_CONFIG_FILE": os.devnull,
        },
    )
    assert answer.returncode == 1
    assert "Could not install dioptra-platform" in answer.stderr
    assert "pip config list" in answer.stderr
    assert "--peer-python" in answer.stderr
    assert not (tmp_path / "stack").exists()
