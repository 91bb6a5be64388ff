"""What a stack is made of, and the environment that it hands out."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.files import removal
from dioptra_worker.tools.local import config as config_module
from dioptra_worker.tools.local.config import SERVICES, StackConfig
from dioptra_worker.tools.local.environment import (
    as_dotenv,
    as_json,
    as_shell,
    client_environment,
    inherited,
)
from dioptra_worker.tools.local.errors import NoStack, StackError

if TYPE_CHECKING:
    from pathlib import Path

NASTY = {
    "PLAIN": "redis://:abc@127.0.0.1:1/0",
    "QUOTES": 'it\'s "so" $HOME `id` \\ ;&|',
    "SPACES": "  a  b ",
    "EMPTY": "",
}


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    """A configuration that nothing runs for."""
    return StackConfig(
        directory=tmp_path,
        ports=dict(zip(SERVICES, range(20001, 20005), strict=True)),
        peer_python=tmp_path / "python",
        queues=("a", "b"),
    )


def test_a_configuration_survives_being_written(config: StackConfig) -> None:
    """What is read is what was written, and only its owner may read it."""
    config.save()
    assert StackConfig.load(config.directory) == config
    assert (config.directory / "stack.json").stat().st_mode & 0o777 == 0o600


def test_it_is_a_stack_until_all_of_it_is_gone(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What says that a folder holds one is removed last, whoever is interrupted."""
    config.save()
    for name in ("api", "zzz"):  # before and after it, by name
        (config.directory / name).mkdir()
    removed = []

    def note(path: Path) -> bool:
        removed.append(path.name)
        return removal.remove(path)

    monkeypatch.setattr(config_module, "remove", note)
    config.remove()
    config.remove()
    assert removed[:2] == ["api", "zzz"]
    assert not config.directory.exists()


def test_every_stack_has_secrets_of_its_own(
    config: StackConfig, tmp_path: Path
) -> None:
    """No secret is shared by two stacks or shown when a configuration is printed."""
    other = StackConfig(tmp_path, config.ports, config.peer_python)
    for name in ("password", "queue_password", "secret_key", "session_key", "token"):
        assert getattr(config, name) != getattr(other, name)
    assert config.password not in repr(config)
    assert config.queue_password not in repr(config)


def test_no_stack_is_said_in_a_sentence(tmp_path: Path) -> None:
    """A folder without a stack is named, with the way to start one."""
    with pytest.raises(NoStack, match=r"No local stack in .*local up"):
        StackConfig.load(tmp_path)


@pytest.mark.parametrize("content", ['{"format": 1, "po', '{"format": 99}', "{}"])
def test_an_unreadable_configuration_is_said_in_a_sentence(
    tmp_path: Path, content: str
) -> None:
    """A file that this version did not write is named, with what to do."""
    (tmp_path / "stack.json").write_text(content)
    with pytest.raises(StackError, match=r"Cannot read .*stack\.json.*remove the"):
        StackConfig.load(tmp_path)


def test_the_client_environment_has_what_the_worker_requires(
    config: StackConfig,
) -> None:
    """Every variable that the worker's settings require is there."""
    environment = client_environment(config)
    assert environment["DIOPTRA_API"] == "http://127.0.0.1:20004"
    assert environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:20003"
    assert environment["MLFLOW_S3_ENDPOINT_URL"] == "http://127.0.0.1:20002"
    assert environment["RQ_REDIS_URI"] == (
        f"redis://:{config.queue_password}@127.0.0.1:20001/0"
    )
    assert environment["DIOPTRA_WORKER_PASSWORD"] == config.password
    assert set(environment) >= {
        "DIOPTRA_WORKER_USERNAME",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
    }


def test_services_inherit_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service gets PATH, but nothing that would change what it does."""
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    environment = inherited()
    assert "PATH" in environment
    assert not {"PYTHONPATH", "MLFLOW_TRACKING_URI", "http_proxy"} & set(environment)
    # The one that makes the REST API's database imports MLflow, too.
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.process
def test_a_shell_reads_what_was_rendered_for_it() -> None:
    """`eval` gives every value back, whatever characters it has."""
    script = as_shell(NASTY) + '\nprintf "%s\\n" "$PLAIN" "$QUOTES" "$SPACES" "$EMPTY"'
    answer = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split("\n")[:4] == list(NASTY.values())


def test_the_other_formats() -> None:
    """JSON gives everything back; a dotenv file has one plain line a variable."""
    assert json.loads(as_json(NASTY)) == NASTY
    assert as_dotenv({"A": "1", "B": "x y"}) == "A=1\nB=x y"
