"""Every command line of ``rq worker`` is one of the daemon's."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.cli.rq_worker_options import ask, kept, read_help

from dioptra_worker.cli.rq_config import read_config
from dioptra_worker.cli.rq_options import UNUSED, said_of_unused
from dioptra_worker.cli.start import start
from dioptra_worker.errors import SettingsError
from dioptra_worker.homes import import_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import click

VALUES = {"--dequeue-strategy": "random", "-ds": "random", "--max-idle-time": "60"}
"""Values for options that do not take every number."""


def _parse(*arguments: str) -> click.Context:
    return start.make_context("dioptra-worker-v1", [*arguments, "cpu"])


def _argument(flag: str, *, with_value: bool) -> list[str]:
    return [flag, VALUES.get(flag, "7")] if with_value else [flag]


def _take_all(options: Mapping[str, bool]) -> None:
    for flag, with_value in options.items():
        if flag != "--help":
            context = _parse(*_argument(flag, with_value=with_value))
            assert context.params["queues"] == ("cpu",)


@pytest.mark.parametrize("version", kept())
def test_every_option_is_taken(version: str) -> None:
    """Whatever an RQ lists is taken, with a value or without as there."""
    _take_all(kept()[version])


def test_three_versions_are_kept() -> None:
    """Options of the oldest RQ that the platform has, of later ones, of the newest."""
    assert {version.partition(".")[0] for version in kept()} == {"1", "2", "3"}
    assert all("--dequeue-strategy" in options for options in kept().values())


@pytest.mark.process
def test_what_is_installed() -> None:
    """All that the RQ of this environment lists is taken."""
    options = read_help(ask(sys.executable))
    assert len(options) > 30
    _take_all(options)


def test_what_changes_nothing_is_told() -> None:
    """Each option without a meaning is told once, with the reason."""
    for option in UNUSED:
        context = _parse(*_argument(option.flags[0], with_value=not option.is_flag))
        (sentence,) = said_of_unused(context)
        assert sentence == f"{option.flags[-1]} changes nothing: {option.why}"
    assert said_of_unused(_parse("--verbose", "--path", "/x")) == []


def test_variables_of_rq(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable by which RQ takes such an option is named in its place."""
    monkeypatch.setenv("RQ_WORKER_CLASS", "site.Worker")
    monkeypatch.setenv("RQ_SENTRY_DSN", "")
    (sentence,) = said_of_unused(_parse())
    assert sentence.startswith("RQ_WORKER_CLASS changes nothing: ")


def test_several_exception_handlers() -> None:
    """What RQ takes several times is taken so, and told once."""
    handlers = ["--exception-handler", "a.b", "--exception-handler", "c.d"]
    assert len(said_of_unused(_parse(*handlers))) == 1


def test_module_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues, name and address are read from RQ's settings; the rest is named."""
    (tmp_path / "rq_site_one.py").write_text(
        "REDIS_HOST = 'redis'\nREDIS_PASSWORD = 'a/b'\nREDIS_DB = 3\n"
        "REDIS_SSL = 'yes'\nREDIS_SSL_CA_CERTS = '/ca.pem'\n"
        "QUEUES = ['cpu', 'gpu']\nNAME = 'one'\nSENTRY_DSN = 'x'\nother = 1\n"
    )
    before = list(sys.path)
    found = read_config("rq_site_one", path=[str(tmp_path)])
    assert found.queues == ("cpu", "gpu")
    assert found.name == "one"
    address = "rediss://:a%2Fb@redis:6379/3?ssl_ca_certs=%2Fca.pem"
    assert found.redis_url == address
    assert found.unused == ("SENTRY_DSN",)
    assert sys.path == before
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rq_site_two.py").write_text("REDIS_URL = 'redis://there:1/2'\n")
    found = read_config("rq_site_two", path=[])
    assert (found.redis_url, found.queues) == ("redis://there:1/2", ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nowhere.at.all", "it cannot be imported: No module named 'nowhere'"),
        ("QUEUES = 'cpu'", "QUEUES must be a list of names, not 'cpu'"),
        ("REDIS_SSL = 'perhaps'", "REDIS_SSL: 'perhaps' is no yes or no"),
        ("SENTINEL = {'INSTANCES': []}", "Redis Sentinel is not spoken"),
    ],
)
def test_unusable_module_of_settings(tmp_path: Path, text: str, reason: str) -> None:
    """A module that cannot be used is named, and why."""
    name = f"rq_site_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_config(name, path=[str(tmp_path)])
    assert str(caught.value).startswith(f"--config {name!r} cannot be used: {reason}")


def test_folders_of_modules() -> None:
    """The variable is a list of folders; blanks and empty parts are none."""
    assert import_path({"DIOPTRA_WORKER_IMPORT_PATH": " /a, /b ,"}) == ["/a", "/b"]
    assert import_path({}) == []
