"""How much memory a process has is its system's word."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.processes.memory import private_bytes, resident_bytes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not show it")
def test_memory_in_use_is_seen() -> None:
    """In bytes, whether a process asks for its own or for another's."""
    before = resident_bytes()
    block = b"x" * (64 << 20)
    assert resident_bytes() - before > len(block) // 2
    assert resident_bytes(os.getpid()) > len(block) // 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not show it")
def test_pages_of_files_are_nobodys(tmp_path: Path) -> None:
    """They are resident, and not the process' own."""
    file = tmp_path / "large"
    file.write_bytes(b"x" * (64 << 20))
    with file.open("rb") as opened:
        before, own = resident_bytes(), private_bytes()
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            for place in range(0, len(mapped), mmap.PAGESIZE):
                mapped[place]
            assert resident_bytes() - before > 32 << 20
            assert private_bytes() - own < 16 << 20
    block = b"x" * (64 << 20)
    assert private_bytes() - own > len(block) // 2


def test_a_process_that_has_ended_has_none() -> None:
    """As has one whose system does not show it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert resident_bytes(ended.pid) == private_bytes(ended.pid) == 0
