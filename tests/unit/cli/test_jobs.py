"""``dioptra-worker jobs`` before it reaches any API."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.jobs import COMMANDS

PROGRAM = Path(sys.executable).with_name("dioptra-worker")


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_account() -> None:
    """Without an account it names each variable that is missing, with exit code 2."""
    answer = _run("jobs", "list")
    assert answer.returncode == ExitCode.USAGE
    for name in ("DIOPTRA_API", "DIOPTRA_WORKER_USERNAME", "DIOPTRA_WORKER_PASSWORD"):
        assert f"{name} is missing" in answer.stderr
    own = _run("jobs", "list", "--username", "ada", "--api", "http://127.0.0.1:9")
    assert own.returncode == ExitCode.USAGE
    assert own.stderr.startswith("DIOPTRA_PASSWORD is missing")


@pytest.mark.parametrize("job", ["0", "-1", "x", "1.5"])
def test_bad_id(job: str) -> None:
    """What cannot be the id of a job is a wrong command line."""
    answer = _run("jobs", "show", "--", job)
    assert answer.returncode == ExitCode.USAGE
    assert "JOB" in answer.stderr


def test_completion() -> None:
    """The Tab key completes the names of commands and options."""
    script = _run(_DIOPTRA_WORKER_COMPLETE="bash_source")
    assert "complete " in script.stdout
    for words, place, wanted in (
        ("dioptra-worker jo", "1", {"plain,jobs"}),
        ("dioptra-worker jobs ", "2", {f"plain,{name}" for name in COMMANDS}),
        ("dioptra-worker jobs list --st", "3", {"plain,--status"}),
    ):
        answer = _run(
            _DIOPTRA_WORKER_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=place
        )
        assert set(answer.stdout.split()) == wanted
