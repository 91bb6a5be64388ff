"""Ctrl-C in the middle of a run, and what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.plugins.commands import CommandHost, command_host, took, wait_for_words
from tests.unit.tools.workbench.folders import sums, write

from dioptra_worker.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.process

SLEEPER = """
import time
from dioptra import pyplugs

@pyplugs.register
def add(a, b):
    print("asleep")
    time.sleep(300)
"""


@pytest.fixture(scope="module")
def host() -> Iterator[CommandHost]:
    """Runs all commands of this file."""
    with command_host() as host:
        yield host


@pytest.mark.parametrize(
    ("isolation", "more"), [("fork", []), ("spawn", []), ("fork", ["--watch"])]
)
def test_run(
    tmp_path: Path, host: CommandHost, isolation: str, more: list[str]
) -> None:
    """A run is stopped, and its folders are removed."""
    (tmp_path / "cwd").mkdir()
    file = sums(tmp_path / "cwd")
    file.write_text(file.read_text().partition("artifact_outputs")[0])
    write(tmp_path / "cwd", {"plugins/sums/tasks.py": SLEEPER})
    line = ["run", str(file), "--isolation", isolation, "--store", "../home/runs"]
    command = host.start(tmp_path, [*line, *more])
    wait_for_words(command, "asleep")
    command.interrupt()
    ended, _ = took(command)
    assert ended.code == ExitCode.INTERRUPTED, ended
    assert "Traceback" not in ended.said
    assert command.left()[0] == []
    assert not [file for file in command.left()[1] if "tmp" in file.split("/")]
