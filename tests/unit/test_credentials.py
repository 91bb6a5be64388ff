"""What must not be shown of an environment, and what may."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.credentials import secrets_in

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "name",
    [
        *("DIOPTRA_PASSWORD", "DIOPTRA_WORKER_PASSWORD", "AWS_SESSION_TOKEN"),
        *("HF_TOKEN", "WANDB_API_KEY", "POSTGRES_PASSWORD", "AZURE_CLIENT_SECRET"),
        *("MY_PRIVATE_KEY", "some_password"),
    ],
)
def test_a_secret_by_its_name(name: str) -> None:
    """The value of a variable that is called a secret is one."""
    assert secrets_in({name: "swordfish-1"}) == {"swordfish-1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_TOKEN", "100000"),
        ("TOKENIZERS_PARALLELISM", "disabled"),
        ("DIOPTRA_WORKER_PASSWORD_FILE", "/run/secrets/password"),
        ("SSL_KEY", "keyfile"),
        ("MLFLOW_TRACKING_USERNAME", "somebody"),
        ("DIOPTRA_API", "http://restapi:5000"),
        ("PATH", "/usr/bin:/bin"),
    ],
)
def test_what_is_none(name: str, value: str) -> None:
    """Numbers, places, names of users and addresses are no secrets."""
    assert secrets_in({name: value}) == set()


@pytest.mark.parametrize(
    "url",
    [
        "http://me:p%40ss-word@host:5000/path",
        "redis://:p%40ss-word@host/0",
        "rediss://host/0?password=p%40ss-word",
        "a list of http://me:p%40ss-word@host and others",
    ],
)
def test_passwords_in_addresses(url: str) -> None:
    """A password in an address is a secret in both spellings, whatever is called so."""
    assert secrets_in({"SOMETHING": url}) >= {"p%40ss-word", "p@ss-word"}


def test_a_token_in_an_address() -> None:
    """What stands alone before an address's host is a token if it is long."""
    token = "ghp_0123456789abcdef"
    assert token in secrets_in({"X": f"https://{token}@host/x.git"})
    assert secrets_in({"X": "https://git@host/x.git"}) == set()


def test_basic_authentication() -> None:
    """What HTTP sends for a name and a password is hidden, too."""
    pair = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "secret"}
    assert base64.b64encode(b"me:secret").decode().rstrip("=") in secrets_in(pair)


def test_files(tmp_path: Path) -> None:
    """A secret that is given as a file is one; a file that is missing is no error."""
    file = tmp_path / "password"
    file.write_text("swordfish\n")
    assert secrets_in({"DIOPTRA_PASSWORD_FILE": str(file)}) == {"swordfish"}
    assert secrets_in({"DIOPTRA_PASSWORD_FILE": str(tmp_path / "no")}) == set()
