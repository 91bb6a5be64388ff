"""Whom a client is, read from an environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dioptra_worker.errors import SettingsError
from dioptra_worker.settings import api_address
from dioptra_worker.tools.resources.account import Account

if TYPE_CHECKING:
    from pathlib import Path

COMPLETE = {
    "DIOPTRA_API": "http://localhost:5000/",
    "DIOPTRA_WORKER_USERNAME": "me",
    "DIOPTRA_WORKER_PASSWORD": "swordfish",
}


def test_complete() -> None:
    """Address, user and password are taken as they are, without a trailing slash."""
    account = Account.read(COMPLETE)
    assert account == Account(
        url="http://localhost:5000", username="me", password="swordfish"
    )


def test_all_problems_at_once() -> None:
    """Every variable that is missing is named in one go."""
    with pytest.raises(SettingsError) as caught:
        Account.read({})
    named = [problem.partition(" ")[0] for problem in caught.value.problems]
    assert named == list(COMPLETE)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:5000",
        "ftp://x",
        "http://",
        "http://[x",
        "http://x:y",
        "http://x/?a=b",
        "http://x/#jobs",
    ],
)
def test_no_address(url: str) -> None:
    """What is no HTTP address is refused and quoted."""
    with pytest.raises(SettingsError) as caught:
        Account.read(COMPLETE | {"DIOPTRA_API": url})
    (problem,) = caught.value.problems
    assert problem.startswith("DIOPTRA_API")
    assert repr(url) in problem


@pytest.mark.parametrize(
    "url",
    [
        "http://x",
        " http://x/ ",
        "http://x/api",
        "http://x/api/v1",
        "http://x//api/v1//",
        "http://x/api/v1/jobs/7",
    ],
)
def test_one_address(url: str) -> None:
    """Whatever form the address has, every command speaks with the same API."""
    account = Account.read(COMPLETE | {"DIOPTRA_API": url})
    assert account.url == api_address(url) == "http://x"
    assert api_address("https://x/dioptra/api/v1") == "https://x/dioptra"
    assert api_address("https://x/apis") == "https://x/apis"


def test_password_file(tmp_path: Path) -> None:
    """The password may be in a file, and that one counts."""
    file = tmp_path / "password"
    file.write_text("tuna\n")
    account = Account.read(COMPLETE | {"DIOPTRA_WORKER_PASSWORD_FILE": str(file)})
    assert account.password == "tuna"


def test_no_password_file(tmp_path: Path) -> None:
    """A file that cannot be read is named, once."""
    path = str(tmp_path / "nowhere")
    with pytest.raises(SettingsError) as caught:
        Account.read(COMPLETE | {"DIOPTRA_WORKER_PASSWORD_FILE": path})
    (problem,) = caught.value.problems
    assert repr(path) in problem


def test_password_is_not_shown() -> None:
    """The password is not in what is printed of an account."""
    assert "swordfish" not in repr(Account.read(COMPLETE))


def test_person_goes_before_worker() -> None:
    """A person's own account is taken if there is one, whole, and else the worker's."""
    assert Account.of_person(COMPLETE) == Account.read(COMPLETE)
    own = {"DIOPTRA_USERNAME": "ada", "DIOPTRA_PASSWORD": "lace"}
    account = Account.of_person(COMPLETE | own)
    assert (account.username, account.password) == ("ada", "lace")
    with pytest.raises(SettingsError, match="DIOPTRA_PASSWORD is missing"):
        Account.of_person(COMPLETE | {"DIOPTRA_USERNAME": "ada"})
