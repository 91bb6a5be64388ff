"""`dioptra-worker local` as a person uses it: up, env, status, down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.plugins.clients import ApiClient
from tests.plugins.stack import cache_folder

from dioptra_worker.common.processes import process_identity
from dioptra_worker.tools.local import LocalStack
from dioptra_worker.tools.local.config import SERVICES
from dioptra_worker.tools.local.ports import is_free

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


def local(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``dioptra-worker local`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "dioptra_worker.cli.local", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"DIOPTRA_WORKER_CACHE_DIR": str(cache_folder())},
        **options,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stack brought up by the command, in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("life") / "my 'own' ståck"
    answer = local("up", "--dir", str(folder), "--queue", "one", "--queue", "two")
    assert answer.returncode == 0, answer.stderr
    assert "is up" in answer.stdout
    for name in SERVICES:
        assert f"✓ start {name}" in answer.stderr
    yield folder
    local("down", "--dir", str(folder))
    assert not folder.exists()


def status(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what ``status --json`` says, by service."""
    answer = local("status", "--dir", str(folder), "--json")
    services = {service["name"]: service for service in json.loads(answer.stdout)}
    healthy = all(service["healthy"] for service in services.values())
    assert answer.returncode == (0 if healthy else 1)
    return services


def test_every_service_is_healthy_on_the_loopback(folder: Path) -> None:
    """`status` shows four services with address and process, all well."""
    services = status(folder)
    assert set(services) == set(SERVICES)
    for service in services.values():
        assert service["healthy"], service
        assert "://127.0.0.1:" in service["url"]
        assert service["pid"]


def test_up_again_says_that_it_runs(folder: Path) -> None:
    """A second `up` changes nothing, says so and succeeds."""
    before = status(folder)
    answer = local("up", "--dir", str(folder), "--queue", "one")
    assert answer.returncode == 0, answer.stderr
    assert "was running already" in answer.stdout
    assert status(folder) == before


def test_up_with_another_queue_registers_it(folder: Path) -> None:
    """A running stack gets the queue and keeps those it has."""
    assert local("up", "--dir", str(folder), "--queue", "three").returncode == 0
    api = ApiClient(LocalStack.attach(folder).environment())
    found = {queue["name"] for queue in api.get("/queues/", pageLength=50)["data"]}
    assert {"one", "two", "three"} <= found
    api.close()


def test_the_shell_environment_is_what_a_client_needs(folder: Path) -> None:
    """After `eval` in a shell, a client logs in with nothing but its environment."""
    shell = local("env", "--dir", str(folder)).stdout
    dump = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    answer = subprocess.run(
        ["/bin/sh", "-c", f"{shell}\n{dump}"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.defpath},
    )
    environment = json.loads(answer.stdout)
    ApiClient(environment).close()
    printed = json.loads(local("env", "--dir", str(folder), "--json").stdout)
    assert printed.items() <= environment.items()
    dotenv = local("env", "--dir", str(folder), "--format", "dotenv").stdout
    assert dict(line.split("=", 1) for line in dotenv.splitlines()) == printed


def test_no_password_shows_in_the_list_of_processes(folder: Path) -> None:
    """Secrets are in files and environments that only the owner may read."""
    config = LocalStack.attach(folder).config
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "stack.json").stat().st_mode & 0o777 == 0o600
    assert (folder / "valkey/valkey.conf").stat().st_mode & 0o777 == 0o600
    listing = process_identity._ps("axww", "-o", "command=")
    assert str(config.ports["mlflow"]) in listing  # the list is the right one
    for secret in (config.password, config.queue_password, config.secret_key):
        assert secret not in listing


def test_services_are_not_in_our_session(folder: Path) -> None:
    """Ctrl-C and the end of the terminal reach no service."""
    for service in status(folder).values():
        assert os.getsid(service["pid"]) == service["pid"]


def test_valkey_wants_its_password(folder: Path) -> None:
    """Another user of the machine cannot put jobs on the queue."""
    config = LocalStack.attach(folder).config
    with (
        redis.Redis(port=config.ports["valkey"], retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_mlflow_takes_the_loopback_by_either_name(folder: Path) -> None:
    """MLflow's check of the Host header lets 127.0.0.1 and localhost in."""
    port = LocalStack.attach(folder).config.ports["mlflow"]
    for host in ("127.0.0.1", "localhost"):
        answer = requests.get(f"http://{host}:{port}/version", timeout=10)
        assert answer.status_code == 200, answer.text


def test_another_kind_of_artifacts_is_refused(folder: Path) -> None:
    """What cannot be changed in a running stack is said, with the way out."""
    answer = local("up", "--dir", str(folder), "--proxied-artifacts")
    assert answer.returncode == 1
    assert "direct artifacts and was asked for proxied" in answer.stderr
    assert "local down" in answer.stderr


def test_down_leaves_nothing(tmp_path: Path) -> None:
    """After `down` there is no process, no listener and no folder; twice is fine."""
    folder = tmp_path / "stack"
    assert local("up", "--dir", str(folder)).returncode == 0
    config = LocalStack.attach(folder).config
    assert len(process_identity.find_by_environment(config.token)) >= len(SERVICES)

    answer = local("down", "--dir", str(folder))
    assert answer.returncode == 0, answer.stderr
    assert process_identity.find_by_environment(config.token) == []
    assert all(is_free(port) for port in config.ports.values())
    assert not folder.exists()

    again = local("down", "--dir", str(folder))
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    gone = local("status", "--dir", str(folder))
    assert gone.returncode == 1
    assert "No local stack in" in gone.stderr
    assert local("env", "--dir", str(folder)).returncode == 1


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    """`down` removes the folder, so `up` takes no folder of somebody else's."""
    (tmp_path / "thesis.tex").write_text("")
    answer = local("up", "--dir", str(tmp_path))
    assert answer.returncode == 1
    assert "not empty and holds no local stack" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("value", ["api", "api=", "api=0", "web=80", "api=70000"])
def test_a_malformed_port_is_a_usage_error(value: str) -> None:
    """The option's form is named and the exit code is 2."""
    answer = local("up", "--port", value)
    assert answer.returncode == 2
    assert "is not SERVICE=PORT" in answer.stderr
