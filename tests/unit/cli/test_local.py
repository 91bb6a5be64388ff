"""``dioptra-worker local`` where it cannot do what it is asked, and what it says."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner, Result

from dioptra_worker.cli import demo
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.lazy import LazyGroup
from dioptra_worker.cli.local import local_group, what_next
from dioptra_worker.cli.main import main
from dioptra_worker.tools.local.paths import default_directory

if TYPE_CHECKING:
    from collections.abc import Sequence


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(local_group, [str(word) for word in arguments])


def _sentence(answer: Result) -> str:
    assert answer.exit_code in {1, 2}, answer.output
    assert not isinstance(answer.exception, OSError)
    (line,) = answer.output.splitlines()
    return str(line)


@pytest.mark.parametrize("command", [["up"], ["down"], ["status"], ["env"]])
@pytest.mark.parametrize("option", ["--dir", "--cache"])
def test_places_that_cannot_be_used(
    tmp_path: Path, command: Sequence[str], option: str
) -> None:
    """A folder below a file, or where nobody can write, is told in one line."""
    (tmp_path / "file").touch()
    places = {"--dir": tmp_path / "stack", "--cache": tmp_path / "cache"}
    places[option] = tmp_path / "file/below"
    words = [str(word) for pair in places.items() for word in pair]
    answer = _run(*command, *words)
    line = answer.output.rstrip("\n")
    assert "\n" not in line
    assert "Traceback" not in line
    assert not isinstance(answer.exception, OSError)
    if command == ["up"]:
        assert answer.exit_code == 2
        assert f"{str(tmp_path / 'file/below')!r}"[:-1] in line
        assert "--dir" in line
        assert "--cache" in line


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """It is told before anything is made, with the option that names another."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        places = ("--dir", tmp_path / "stack", "--cache", tmp_path / "cache")
        line = _sentence(_run("up", *places, "--port", f"api={port}"))
    assert f"Port {port} on 127.0.0.1, meant for 'api', is taken" in line
    assert "--port api=PORT" in line
    assert not (tmp_path / "stack").exists()


def test_one_port_for_two(tmp_path: Path) -> None:
    """Two services cannot have one port."""
    places = ("--dir", tmp_path / "stack", "--cache", tmp_path / "cache")
    line = _sentence(_run("up", *places, "--port", "api=20001", "--port", "s3=20001"))
    assert "Port 20001 cannot be of api and s3" in line


def test_what_next_can_be_typed() -> None:
    """The folder is named unless it is the usual one; all is quoted for a shell."""
    usual = what_next(default_directory(), ["local"])
    assert usual == 'eval "$(dioptra-worker local env)" && dioptra-worker start local'
    odd = what_next(Path("/tmp/my stack"), ["a b", "c"])  # noqa: S108
    assert "--dir '/tmp/my stack'" in odd
    assert shlex.split(odd.partition("&& ")[2]) == [
        "dioptra-worker",
        "start",
        "a b",
        "c",
    ]


def test_any_command_of_a_group() -> None:
    """No command shows a traceback for a place that it cannot use."""

    @click.command(cls=LazyGroup, lazy={}, invoke_without_command=True)
    def main() -> None:
        Path("/proc/nowhere/file").write_text("x")

    answer = CliRunner().invoke(main, [])
    assert _sentence(answer) == (
        "Error: '/proc/nowhere/file' cannot be used: No such file or directory."
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("locl up", "No such command 'locl'. Did you mean 'local'?"),
        ("local upp", "No such command 'upp'. Did you mean 'up'?"),
        ("submit x", "No such command 'submit'. Did you mean 'jobs submit'?"),
        ("local --queue=x up", "No such option '--queue'"),
        ("local up --queue=", "'' cannot name a queue: the platform takes ASCII"),
        ("run x -P =3", "'=3' has no name: write NAME=VALUE"),
        (f"run {__file__}", "is Python, and no task graph: give the folder of"),
    ],
)
def test_what_was_meant(words: str, says: str) -> None:
    """What is mistyped is told at once, and a command that is near."""
    answer = CliRunner().invoke(main, words.split())
    assert answer.exit_code == ExitCode.USAGE
    assert says in answer.output


def test_no_examples_for_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are not installed, as in an image, that is said before all else."""
    (option,) = [p for p in demo.demo_command.params if p.name == "entrypoints"]
    monkeypatch.setattr(option, "default", None)
    answer = CliRunner().invoke(demo.demo_command, [])
    assert answer.exit_code == ExitCode.USAGE
    assert "has no example entrypoints" in answer.output


def test_examples_of_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo runs the examples that are there, and says what one of them lacks."""
    (option,) = [p for p in demo.demo_command.params if p.name == "entrypoints"]
    assert isinstance(option.default, Path)
    for name in ("hello-world", *demo._NEEDED):
        assert (option.default / name / "dioptra.toml").exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    told: list[str] = []
    monkeypatch.setattr("click.echo", told.append)
    demo._Demo._run_if_possible(None, "sklearn-evaluation", "")  # type: ignore[arg-type]
    (line,) = told
    assert "sklearn-evaluation is not run: sklearn, art" in line
