"""``dioptra-worker import`` as a process, before it reaches any API."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.process

PROGRAM = Path(sys.executable).with_name("dioptra-worker")
ACCOUNT = {
    "DIOPTRA_API": "http://127.0.0.1:9",
    "DIOPTRA_WORKER_USERNAME": "me",
    "DIOPTRA_WORKER_PASSWORD": "swordfish",
}
"""An account that leads nowhere: port 9 discards."""


def _run(
    *arguments: str | Path, environment: Mapping[str, str] = ACCOUNT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "import", *arguments],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_account(tmp_path: Path) -> None:
    """Without an account it names each variable that is missing, with exit code 2."""
    answer = _run(tmp_path, environment={})
    assert answer.returncode == ExitCode.USAGE
    for name in ACCOUNT:
        assert f"{name} is missing" in answer.stderr


def test_no_toml(tmp_path: Path) -> None:
    """A folder without dioptra.toml is refused by name, with exit code 1."""
    answer = _run(tmp_path)
    assert answer.returncode == ExitCode.FAILED
    assert repr(str(tmp_path)) in answer.stderr
    assert "dioptra.toml" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there is a wrong command line."""
    answer = _run(tmp_path / "nowhere")
    assert answer.returncode == ExitCode.USAGE


def test_nobody_answers(tmp_path: Path) -> None:
    """An API that does not answer is said so, and what is printed is still JSON."""
    (tmp_path / "dioptra.toml").touch()
    answer = _run("--json", tmp_path)
    assert answer.returncode == ExitCode.FAILED
    assert "cannot be reached" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert json.loads(answer.stdout) == []


def test_what_validate_refuses(tmp_path: Path) -> None:
    """What is wrong with a folder is told by file and line before the API is asked."""
    (tmp_path / "plugins/broken").mkdir(parents=True)
    (tmp_path / "plugins/broken/tasks.py").write_text("x = 1\ndef f(:\n")
    toml = tmp_path / "dioptra.toml"
    toml.write_text('[[plugins]]\npath = "plugins/broken"\n')
    answer = _run(tmp_path)
    assert answer.returncode == ExitCode.FAILED
    assert "broken/tasks.py:2:7: error: This is not valid Python" in answer.stderr
    toml.write_text("[[plugin]]\n")
    answer = _run(tmp_path)
    assert answer.returncode == ExitCode.FAILED
    assert "dioptra.toml:1:1: error: 'plugin' is read by nobody" in answer.stderr
