"""Ctrl-C while a local stack comes up: nothing of it is left, and nobody waits."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.plugins.until import until

from dioptra_worker.cli.exit_codes import ExitCode

COMMAND = str(Path(sys.executable).with_name("dioptra-worker"))
LIMIT = 8.0
"""Seconds to end services that have just been started, on a busy machine."""


@pytest.mark.parametrize("service", ["valkey", "api"])
def test_interrupted(tmp_path: Path, service: str) -> None:
    """It ends soon with code 130 and a word, however long a service takes to start."""
    folder = tmp_path / "stack"
    command = subprocess.Popen(
        [COMMAND, "local", "up", "--dir", folder, "--cache", tmp_path / "cache"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with command:
        until((folder / f"{service}.log").exists)
        until(lambda: _using(folder)[1:])
        command.send_signal(signal.SIGINT)
        began = time.monotonic()
        said, _ = command.communicate(timeout=60)
        took = time.monotonic() - began
    assert command.returncode == ExitCode.INTERRUPTED, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert took < LIMIT
    assert _using(folder) == []
    assert not folder.exists()
    _, _, after = said.partition("interrupted: what was started is ended")
    assert "start " not in after  # no tick


def _using(folder: Path) -> list[bytes]:
    """The processes that are in a folder, or were told of it, as a stack's services."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            place = bytes((process / "cwd").readlink())
            if bytes(folder) in command + place:
                found.append(command)
        except OSError:  # it has just ended
            continue
    return found
