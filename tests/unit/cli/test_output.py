"""What a command prints, where it goes nowhere, or into what cannot show it."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import click
import pytest
from tests.plugins.command_host import CLOSED, NO_READER
from tests.plugins.commands import CommandHost, command_host
from tests.unit.tools.workbench.folders import EXAMPLES

from dioptra_worker.cli import terminal
from dioptra_worker.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = EXAMPLES / "hello-world"
PRINTING = (
    "--help",
    "run --help",
    "doctor --json",
    "local down",
    f"validate {FOLDER}",
    f"run {FOLDER}",
)
"""Ways to print: before there is a command, for people, for programs, from a thread."""


@pytest.fixture(scope="module")
def host() -> Iterator[CommandHost]:
    """Runs all commands of this file."""
    with command_host() as host:
        yield host


@pytest.mark.process
@pytest.mark.parametrize("words", PRINTING)
def test_it_goes_nowhere(tmp_path: Path, host: CommandHost, words: str) -> None:
    """Who has had enough of it hears no more, and a full disk is told in one line."""
    cut = host.start(tmp_path, words.split(), stdout=NO_READER)
    ended = cut.end()
    assert (ended.code, ended.err) == (ExitCode.FAILED, "")
    assert cut.left()[0] == []
    full = host.start(tmp_path, words.split(), stdout="/dev/full")
    ended = full.end()
    assert ended.code == ExitCode.FAILED
    assert ended.err == (
        "Error: what it prints cannot be written: No space left on device.\n"
    )
    assert full.left()[0] == []


@pytest.mark.process
def test_it_is_closed(tmp_path: Path, host: CommandHost) -> None:
    """A command that nobody wants to hear does what it does."""
    ended = host.run(tmp_path, ["init", "new"], stdout=CLOSED)
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    assert (tmp_path / "cwd/new/dioptra.toml").exists()


def test_what_an_encoding_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks are written as escapes, a name that is no text is, too; no secret is."""
    monkeypatch.setenv("DIOPTRA_PASSWORD", "a-secret")
    for encoding, text, shown in (
        ("latin-1", "✓ ü a-secret", b"\\u2713 \xfc ***"),
        ("ascii", "✓ a-secret", "✓ ***".encode()),  # click writes UTF-8 there
        ("utf-8", "b\udcffb", b"b\\udcffb"),
    ):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
        terminal.hide_secrets()
        click.echo(text)
        assert written.getvalue() == shown + b"\n"
