"""One process at a time."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.tools.local.errors import StackError
from dioptra_worker.tools.local.locks import locked

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys, time
from pathlib import Path
from dioptra_worker.tools.local.locks import locked
with locked(Path(sys.argv[1]), timeout=5):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.process
def test_a_lock_is_waited_for_and_ends_with_its_holder(tmp_path: Path) -> None:
    """Others wait, are told once, and get in as soon as the holder is killed."""
    lock = tmp_path / "folder" / "it.lock"
    told: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(StackError, match=r"has held .*it\.lock"),
            locked(lock, timeout=0.2, waiting=lambda: told.append("waiting")),
        ):
            pytest.fail("two holders")
        assert told == ["waiting"]
        holder.kill()
        with locked(lock, timeout=5):
            pass


def test_a_free_lock_needs_no_waiting(tmp_path: Path) -> None:
    """Nobody is told to wait when nobody holds it."""
    with locked(tmp_path / "it", timeout=0, waiting=lambda: pytest.fail("waited")):
        pass
