"""``dioptra-worker jobs`` before it reaches any API."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.cli import tables
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.jobs import COMMANDS
from dioptra_worker.common.text.printable import harmless

pytestmark = pytest.mark.process

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
    assert f"{job!r} is no job's id, which is a number" in answer.stderr


@pytest.mark.parametrize("time", ["abc", "", "0", "-5", "1.5h", "10 m", "3w"])
def test_bad_time(time: str) -> None:
    """A time limit that RQ cannot read is told before anything is submitted."""
    answer = _run("jobs", "submit", "any", "--experiment", "x", f"--timeout={time}")
    assert answer.returncode == ExitCode.USAGE
    assert f"{time!r} is no time: write 90s, 15m, 2h or 1d" in answer.stderr


def test_completion() -> None:
    """The Tab key completes the names of commands and options."""
    script = _run(_DIOPTRA_WORKER_COMPLETE="bash_source")
    assert "complete " in script.stdout
    for typed, place, wanted in (
        ("dioptra-worker jo", "1", {"plain,jobs"}),
        ("dioptra-worker jobs ", "2", {f"plain,{name}" for name in COMMANDS}),
        ("dioptra-worker jobs list --st", "3", {"plain,--status"}),
    ):
        answer = _run(
            _DIOPTRA_WORKER_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=place
        )
        assert set(answer.stdout.split()) == wanted


def _in_a_terminal(*arguments: str, **environment: str) -> str:
    """What a terminal of 75 columns gets to see."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments],
        env={"COLUMNS": "75", "TERM": "xterm", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # how Linux tells that the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0, seen
    return seen.decode()


def test_table_in_a_terminal(tmp_path: Path) -> None:
    """A terminal gets marks and colours, and no line that is longer than it is wide."""
    dioptra = Dioptra()
    evil = "a name that is long \x1b[2J and wants to clear the screen"
    dioptra.put(1, ("queued", 0), ("started", 1), ("failed", 2), name=evil)
    dioptra.put(2, ("queued", 3), ("started", 4), ("finished", 5))
    with dioptra.running() as (_, server):
        account = {
            "DIOPTRA_API": server.url,
            "DIOPTRA_USERNAME": "ada",
            "DIOPTRA_PASSWORD": "x",
            "DIOPTRA_WORKER_CACHE_DIR": str(tmp_path),
        }
        seen = _in_a_terminal("jobs", "list", **account)
        plain = _run("jobs", "list", **account).stdout
    assert "\x1b[32m✓ finished" in seen
    assert "\x1b[31m✗ failed" in seen
    assert "\x1b[2J" not in seen
    lines = harmless(seen.replace("\r", "")).splitlines()
    assert lines[0].split() == [
        *("ID", "STATUS", "NAME", "TYPE", "USER", "EXPERIMENT", "AGE", "TOOK")
    ]
    assert all(tables.columns(line) <= 75 for line in lines)
    assert "…" in seen
    assert "\x1b" not in plain
    assert "a name that is long and wants to clear the screen" in plain


def test_a_step_that_is_not_there(tmp_path: Path) -> None:
    """A log without the step that is wanted names the steps that it has."""
    dioptra = Dioptra()
    dioptra.put(1, ("queued", 0), ("started", 1), ("finished", 2))
    begins = "step 1 of 1: 'fit' runs task 'train'"
    dioptra.logs[1] = [("INFO", "dioptra_worker.job", begins), ("INFO", "x", "hi")]
    with dioptra.running() as (_, server):
        account = {
            "DIOPTRA_API": server.url,
            "DIOPTRA_USERNAME": "ada",
            "DIOPTRA_PASSWORD": "x",
            "DIOPTRA_WORKER_CACHE_DIR": str(tmp_path),
        }
        for more in ((), ("--follow",)):
            wrong = _run("jobs", "logs", "1", "--step", "fitt", *more, **account)
            assert wrong.returncode == ExitCode.FAILED
            assert wrong.stdout == ""
            told = "the log of job 1 has no step 'fitt': it has 'fit'\n"
            assert wrong.stderr == told
        right = _run("jobs", "logs", "1", "--step", "fit", **account)
        assert right.returncode == ExitCode.OK
        assert "x: hi" in right.stdout
