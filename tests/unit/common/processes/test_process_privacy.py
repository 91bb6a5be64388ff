"""What a process holds is closed to others of its user."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, os, signal, sys
from dioptra_worker.common.processes.process_privacy import hide_memory

NOBODY = 65534

def become_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a program of this user's begins

reading, writing = os.pipe()
holder = os.fork()
if not holder:
    become_nobody()
    if sys.argv[1] == "hide":
        assert hide_memory()
    os.write(writing, b"!")
    signal.pause()
os.read(reading, 1)
become_nobody()
for name in ("environ", "maps", "mem"):
    try:
        with open(f"/proc/{holder}/{name}", "rb") as file:
            file.read(0 if name == "mem" else -1)
        print("open")
    except PermissionError:
        print("closed")
os.kill(holder, signal.SIGKILL)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="other systems have no such files"
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two others")
@pytest.mark.process
@pytest.mark.parametrize(("mode", "seen"), [("hide", "closed"), ("show", "open")])
def test_secrets_in_memory_are_closed(mode: str, seen: str) -> None:
    """A process of the same user, without rights, reads nothing of one that hides."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout.split() == [seen] * 3
