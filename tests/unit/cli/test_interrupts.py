"""Ctrl-C at a moment that is hard to hit, and what became of the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins.worker_process import wait_until_gone
from tests.unit.tools.workbench.folders import sums, write

from dioptra_worker.cli import quiet_imports
from dioptra_worker.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.process

COMMAND = str(Path(sys.executable).with_name("dioptra-worker"))
WHILE_IT_IS_IMPORTED = """
import posix, sys

class Interrupting:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {name!r}:
            posix.kill(posix.getpid(), 2)

sys.meta_path.insert(0, Interrupting)
"""
IN_A_FINALIZER = """
import os, signal, sys, time
import click
from dioptra_worker.cli.lazy import LazyGroup

class Interrupting:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

@click.command(cls=LazyGroup, lazy={}, invoke_without_command=True)
def main():
    Interrupting()
    time.sleep(30)
    print("not interrupted")

main([])
"""
MADE_ANOTHER_ERROR = """
import os, signal
import click
from dioptra_worker.cli.lazy import LazyGroup

class Interrupting:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGINT)

@click.command(cls=LazyGroup, lazy={}, invoke_without_command=True)
def main():
    try:
        class Library:  # a RuntimeError until Python 3.12
            attribute = Interrupting()
    except BaseException as error:
        BODY

main([])
"""
SLEEPER = """
import time
from dioptra import pyplugs

@pyplugs.register
def add(a, b):
    time.sleep(300)
"""


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # Without `site`, which may import what is to be interrupted.
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("module", ["main", "start"])
@pytest.mark.parametrize("imported", ["contextlib", "typing", "enum", "click"])
def test_while_the_command_is_imported(module: str, imported: str) -> None:
    """It ends without a word: no traceback of what happened to be imported."""
    interrupting = WHILE_IT_IS_IMPORTED.format(name=imported)
    code = f"{interrupting}\nimport dioptra_worker.cli.{module}"
    ended = _python(code)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_the_code() -> None:
    """The code that the first module knows is that of all others."""
    assert quiet_imports._INTERRUPTED == ExitCode.INTERRUPTED


def test_importing_a_command_changes_no_handler() -> None:
    """Who imports a command's module, such as a test, is interrupted as before."""
    ended = _python(
        "import signal, dioptra_worker.cli.main, dioptra_worker.cli.start;"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    assert ended.stdout == "True\n", ended.stderr


def test_where_python_ignores_exceptions() -> None:
    """One that was raised in a finalizer, and got lost there, is heard all the same."""
    ended = _python(IN_A_FINALIZER)
    assert ended.returncode == ExitCode.INTERRUPTED, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr == "\ninterrupted\n"


@pytest.mark.parametrize(
    "body",
    ["raise ValueError from error", "raise SystemExit(1)", "pass", "raise click.Abort"],
)
def test_what_a_library_makes_of_it(body: str) -> None:
    """One that became another error, or none, ends the command as any."""
    ended = _python(MADE_ANOTHER_ERROR.replace("BODY", body))
    assert ended.returncode == ExitCode.INTERRUPTED, ended.stderr
    assert (ended.stdout, ended.stderr) == ("", "\ninterrupted\n")


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_before_the_runner_is_one(tmp_path: Path, isolation: str) -> None:
    """A run whose process still imports ends at once, not after its grace period."""
    file = sums(tmp_path)
    write(tmp_path, {"plugins/sums/tasks.py": SLEEPER})
    file.write_text(file.read_text().partition("artifact_outputs")[0])
    command = _start(tmp_path, ["run", "--isolation", isolation, str(file)])
    assert command.stdout is not None
    with command:
        assert command.stdout.readline().startswith("sums:")
        below = _below(command.pid)
        began = time.monotonic()
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does
        said = command.stdout.read()
        code = command.wait(30)
        took = time.monotonic() - began
    assert code == ExitCode.INTERRUPTED, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert "was killed" not in said
    assert took < 4.0
    assert wait_until_gone(below) == set()
    assert not list(tmp_path.glob("dioptra-forkserver-*"))


def _start(folder: Path, arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LC_ALL": "C.UTF-8",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _below(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return {int(child) for child in children.read_text().split()}
